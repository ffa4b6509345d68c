"""`fewer eval`: evaluation of a published model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fewer.cli.options import EvaluationKeys, Json, Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewer.core.metadata import TableColumn


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
    per_class: Annotated[bool, typer.Option("--per-class", help="Also print a line for every class.")] = False,
    as_json: Json = False,
) -> int:
    """Evaluate a model on its run's test set, or on other images with data.test=folder:PATH.

    data.test, data.damaged, data.cache, task.flip_tta and train.precision may differ from the run's. Where its images
    have moved, data.source, data.val and data.labels.csv say where they are.
    """
    from fewer.core.errors import RecipeError

    if split not in ("test", "val"):
        raise RecipeError(f"--split {split}: allowed: test, val")
    from fewer.inference.question import Question

    question = Question.asked(model, overrides or [], split)
    if question.run is not None:
        question.recipe()  # a wrong path or key ends here, before torch is imported
    from fewer.cli.display import counted
    from fewer.inference.evaluate import evaluate as evaluated

    with counted("evaluating") as show:
        result = evaluated(model, overrides or [], split=split, side_px=side or 0, on_progress=show)
    if as_json:
        import json

        print(json.dumps(result))
    else:
        _print(result, per_class)
    return 0


def _print(result: dict[str, Any], per_class: bool) -> None:
    import sys

    from fewer import tasks
    from fewer.core.errors import printable
    from fewer.report.metrics import Metrics

    known = Metrics(tasks.description(result["task"]))
    name, metrics = result["split"], result["metrics"]
    print(printable(f"{result['model']}, {result['epochs']} epochs, on {result['source']} ({name})"))
    rows = [
        *((known[key].label, known[key].text(value)) for key, value in metrics.items()),
        ("images", f"{result['images']:,}"),
        ("seconds", f"{result['seconds']:.4g}"),
    ]
    width = max(10, *(len(label) + 1 for label, _ in rows))
    for label, text in rows:
        print(f"{label:{width}}{text:>10}")
    if per_class:
        print()
        tables = {key.removeprefix(f"{name}/"): value for key, value in result["tables"].items()}
        _print_classes(tasks.module(result["task"]).by_class(tables, result["classes"]))
    for note in (*result["notes"], *(f"left out {image['name']}: {image['reason']}" for image in result["damaged"])):
        print(printable(note), file=sys.stderr)


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
