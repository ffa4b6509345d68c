"""`fewer eval`: evaluation of a published model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fewer.cli.options import EvaluationKeys, Json, Model
from fewer.core.text import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fewer.core.metadata import TableColumn
    from fewer.inference.evaluate import Opened

_SIDES_MAX = 32  # that are evaluated in one call


def evaluate(
    model: Model,
    overrides: EvaluationKeys = None,
    split: Annotated[str, typer.Option("--split", help="Images of the run: test or val.")] = "test",
    side: Annotated[
        Optional[int],  # noqa: UP045 (typer reads this at run time)
        typer.Option(
            "--side", min=8, max=4096, help="Side of the images, px; by default the run's.", show_default=False
        ),
    ] = None,
    sides: Annotated[
        str,
        typer.Option("--sides", metavar="PX,PX,...", help="Evaluate at each of these sides, and name the best."),
    ] = "",
    batchnorm_images: Annotated[
        int,
        typer.Option(
            "--batchnorm-images",
            min=0,
            max=1_000_000,
            help="With --sides: training images for new statistics of BatchNorm at each side; 0: as published.",
        ),
    ] = 0,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also print a line for every class.")] = False,
    suspects: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--suspects",
            help="Also write boxes or parts of masks that look wrong to this CSV file, the surest first.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Evaluate a model on its run's test set, or on other images with data.test=folder:PATH.

    --sides 32,40,48 gives a row a side, with what a forward costs, and names the best; choose with --split val.
    data.test, data.damaged, data.cache, task.tta, task.tta_below and train.precision may differ from the run's. Where
    its images have moved, data.source, data.val and data.labels.csv say where they are.
    """
    from fewer.core.errors import RecipeError

    if split not in ("test", "val"):
        raise RecipeError(f"--split {split}: allowed: test, val")
    sides_px = _sides(sides, side, per_class, suspects, batchnorm_images)
    from fewer.inference.question import Question

    question = Question.asked(model, overrides or [], split)
    if question.run is not None:
        question.recipe()  # a wrong path or key ends here, before torch is imported
    from fewer.cli.display import counted

    with counted("evaluating") as show:
        if sides_px:
            from fewer.inference.sides import evaluate_sides

            result = evaluate_sides(
                model,
                overrides or [],
                sides_px=sides_px,
                split=split,
                batchnorm_images=batchnorm_images,
                on_progress=show,
            )
        else:
            from fewer.inference.evaluate import measured, opened

            asked = opened(model, overrides or [], split=split, side_px=side or 0)
            result = measured(asked, show) if suspects is None else _with_suspects(asked, suspects, show)
    if as_json:
        import json

        print(json.dumps(result))
    elif sides_px:
        _print_sides(result)
    else:
        _print(result, per_class)
    return 0


def _with_suspects(asked: Opened, path: Path, show: Callable[[int, int], None]) -> dict[str, Any]:
    """The result, after the annotations that look wrong were written to a file."""
    from fewer.inference.evaluate import measured
    from fewer.inference.suspects import require_suspects, suspicions, write_suspects

    require_suspects(asked)
    result = measured(asked, show)
    found = suspicions(asked, show)
    write_suspects(found, asked, path)
    result["suspects"] = len(found)
    result["notes"] = [*result["notes"], f"suspected to be wrong: {quantity(len(found), 'annotation')} ({path})"]
    return result


def _sides(text: str, side: int | None, per_class: bool, suspects: Path | None, batchnorm_images: int) -> list[int]:
    """The sides of `--sides`; none where it is left out.

    Raises:
        RecipeError: They are no sides, or another flag does not go with them.
    """
    from fewer.core.errors import RecipeError

    if not text:
        if batchnorm_images:
            raise RecipeError(f"--batchnorm-images {batchnorm_images} goes with --sides; add --sides, such as 32,40,48")
        return []
    others = {"--side": side is not None, "--per-class": per_class, "--suspects": suspects is not None}
    for flag, is_given in others.items():
        if is_given:
            raise RecipeError(f"--sides {text} and {flag}: one table a side is too much; leave one of the two out")
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and 8 <= int(part) <= 4096)]
    if wrong or len(parts) > _SIDES_MAX:
        what = f'"{wrong[0]}" is no side' if wrong else f"{len(parts)} sides"
        raise RecipeError(f"--sides {text}: {what}; give up to {_SIDES_MAX} whole numbers from 8 to 4096: 32,40,48")
    return [int(part) for part in parts]


def _print_sides(result: dict[str, Any]) -> None:
    """A row a side, the best one marked."""
    from rich.console import Console
    from rich.table import Table

    from fewer import tasks
    from fewer.core.errors import printable
    from fewer.report import units
    from fewer.report.metrics import Metrics

    known, key = Metrics(tasks.description(result["task"])), result["metric"]
    source, name, images = result["source"], result["split"], quantity(result["images"], "image")
    print(printable(f"{result['model']}, {quantity(result['epochs'], 'epoch')}, on {images} of {source} ({name})"))
    # The metrics of an epoch's line: all of them are in the JSON document, and would not fit into 80 columns.
    shown = (f"{name}/{metric.name}" for metric in known.validated)
    others = [each for each in shown if each != key and each in result["sides"][0]["metrics"]]
    titles = ("px", "FLOPs", known[key].label, "95 % interval", *(known[each].label for each in others))
    grid = Table(box=None, pad_edge=False)
    for title in (*titles, ""):
        grid.add_column(title, justify="right" if title else "left", no_wrap=True)
    for row in result["sides"]:
        bounds = [known[key].text(bound, 1) for bound in row["intervals"].get(key, ())]
        grid.add_row(
            str(row["side_px"]),
            units.amount(row["forward_flops"], "FLOP").replace(units.NBSP, " "),
            known[key].text(row["metrics"][key]),
            " to ".join(bounds),
            *(known[each].text(row["metrics"][each]) for each in others),
            _marks(row["side_px"], result),
        )
    Console(highlight=False).print(grid)
    images = result["batchnorm_images"]
    print(f"BatchNorm: {f'estimated again from {images:,} training images at each side' if images else 'as published'}")
    _print_notes(result)


def _marks(side_px: int, result: dict[str, Any]) -> str:
    marks = {"best": result["best_side_px"], "published": result["published_side_px"]}
    return ", ".join(mark for mark, side in marks.items() if side == side_px)


def _print_notes(result: dict[str, Any]) -> None:
    import sys

    from fewer.core.errors import printable

    for note in (*result["notes"], *(f"left out {image['name']}: {image['reason']}" for image in result["damaged"])):
        print(printable(note), file=sys.stderr)


def _print(result: dict[str, Any], per_class: bool) -> None:
    from fewer import tasks
    from fewer.core.errors import printable
    from fewer.report.metrics import Metrics

    known = Metrics(tasks.description(result["task"]))
    name, metrics = result["split"], result["metrics"]
    print(printable(f"{result['model']}, {quantity(result['epochs'], 'epoch')}, on {result['source']} ({name})"))
    rows = [
        *((known[key].label, known[key].text(value)) for key, value in metrics.items()),
        ("images", f"{result['images']:,}"),
        ("seconds", f"{result['seconds']:.4g}"),
    ]
    if (forwards := result["tables"].get(f"{name}/forwards_per_image")) is not None:
        rows.insert(-1, ("forwards an image", f"{forwards:.3f}"))
    width = max(10, *(len(label) + 1 for label, _ in rows))
    for label, text in rows:
        print(f"{label:{width}}{text:>10}")
    if per_class:
        print()
        tables = {key.removeprefix(f"{name}/"): value for key, value in result["tables"].items()}
        _print_classes(tasks.module(result["task"]).by_class(tables, result["classes"]))
    _print_notes(result)


def _print_classes(columns: Sequence[TableColumn]) -> None:
    """A table with a row for each class; names give way where there is no room, numbers do not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fewer.core.errors import printable

    grid = Table(box=None, pad_edge=False)
    for column in columns:
        if column.is_number:
            grid.add_column(column.title, justify="right")
        else:
            grid.add_column(column.title, overflow="ellipsis", no_wrap=True, max_width=30)
    for row in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False).print(grid)
