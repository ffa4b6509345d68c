"""`fewer eval`: evaluation of a published model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fewer.cli.options import Json, Model, Overrides

if TYPE_CHECKING:
    from collections.abc import Sequence


def evaluate(
    model: Model,
    overrides: Overrides = None,
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

    data.test, data.damaged, data.cache, task.flip_tta and train.precision may differ from the run's.
    """
    from fewer.core.errors import RecipeError

    if split not in ("test", "val"):
        raise RecipeError(f"--split {split}: allowed: test, val")
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

    from fewer.core.errors import printable
    from fewer.report.units import title

    name, metrics = result["split"], result["metrics"]
    print(printable(f"{result['model']}, {result['epochs']} epochs, on {result['source']} ({name})"))
    rows = [
        *((key.removeprefix(f"{name}/"), value) for key, value in metrics.items()),
        ("images", result["images"]),
        ("seconds", result["seconds"]),
    ]
    width = max(10, *(len(title(key)) + 1 for key, _ in rows))
    for key, value in rows:
        shown = f"{value:,}" if key == "images" else f"{value:.4g}" if key in ("loss", "seconds") else f"{value:.2%}"
        print(f"{title(key):{width}}{shown:>10}")
    if per_class:
        print()
        _print_classes(result["tables"][f"{name}/confusion"], result["classes"])
    for note in (*result["notes"], *(f"left out {image['name']}: {image['reason']}" for image in result["damaged"])):
        print(printable(note), file=sys.stderr)


def _print_classes(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fewer.core.errors import printable
    from fewer.inference.evaluate import per_class

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    grid = Table(box=None, pad_edge=False)
    grid.add_column("class", overflow="ellipsis", no_wrap=True, max_width=30)
    for title in ("images", "accuracy", "precision", "F1"):
        grid.add_column(title, justify="right")
    grid.add_column("taken for", overflow="ellipsis", no_wrap=True, max_width=30)
    for row in per_class(confusion):
        other = "" if row["taken_for"] is None else printable(classes[row["taken_for"]])
        numbers = (f"{row['images']:,}", *(share(row[key]) for key in ("accuracy", "precision", "f1")))
        grid.add_row(Text(printable(classes[row["class"]])), *numbers, Text(other))
    Console(highlight=False).print(grid)
