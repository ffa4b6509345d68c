"""`fewer data bench`: where the time of an image goes, and which change would save most of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fewer.cli.options import Json, Overrides, RecipeOrSource, print_document


def bench(
    recipe: RecipeOrSource,
    overrides: Overrides = None,
    check: Annotated[
        bool, typer.Option("--check", help="Make the best change and measure what it brings; may build a store.")
    ] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Seconds of training of each stage.")] = 4.0,
    out: Annotated[
        Optional[Path],  # noqa: UP045 (typer reads this at run time)
        typer.Option("--out", help="Folder of table and picture; by default runs/NAME-data-bench.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> int:
    """Time decoding, copying, augmenting, collating and the step of every stage, and name the change that helps most.

    Trains for a few seconds on a model that is thrown away. Files are read warm: a slow disk does not show.
    """
    from fewer.cli.given import recipe_given
    from fewer.core.errors import printable

    found = recipe_given(recipe, overrides or [], probes=False)
    from fewer.runs.names import RUNS
    from fewer.tune.data_bench import FILES, data_bench

    folder = out or RUNS / f"{found.name}-data-bench"
    document = data_bench(
        found.recipe, folder, recipe, seconds, check, found.plan, lambda text: print(printable(text), file=sys.stderr)
    )
    print_document(document, as_json, _show, folder, FILES)
    return 0


PARTS = ("decode", "copy", "augment", "collate", "step")
_LIMITS = {"decode": "decoding", "cores": "the cores", "train": "training"}


def _show(document: dict[str, Any]) -> None:
    from fewer.core.errors import printable

    head = "".join(f"{part:>9}" for part in PARTS)
    print(f"stage    px  batch  {head}  images/s  waits  limit")
    for each in document["stages"]:
        parts = "".join(f"{value:9.3f}" for value in each["milliseconds"].values())
        seen = f"{each['images_per_second']:8,.0f}  {each['waiting']:5.0%}  {_LIMITS[each['limit']]}"
        print(f"{each['stage']:5} {each['side_px']:5} {each['batch_size']:6}  {parts}  {seen}")
    print("parts in ms an image, each alone: decoding on one core, the others with the threads of training")
    for change in document["changes"]:
        result = " (another result)" if change["changes_result"] else ""
        print(printable(f"  {change['how']}: {change['predicted_gain']:.2f} x predicted{result}"))
    best, checked = document["best"], document["checked"]
    print(printable(f"most would help {best['how']}: {best['predicted_gain']:.2f} x" if best else
                    "no change of the data path is worth it: training itself takes the time"))  # fmt: skip
    if checked:
        print(f"checked: {checked['before']:.0f} to {checked['after']:.0f} images/s, {checked['gain']:.2f} x")
