"""`fewer lr-find`: the learning rate that short sweeps recommend for a recipe, or for the choice for a source."""

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fewer.cli.options import Json, Overrides, RecipeOrSource, print_document


def lr_find(
    recipe: RecipeOrSource,
    overrides: Overrides = None,
    stage: Annotated[int, typer.Option("--stage", min=1, help="Which stage, counted from 1.")] = 1,
    stages: Annotated[bool, typer.Option("--stages", help="All stages, one after the other.")] = False,
    steps: Annotated[int, typer.Option("--steps", min=20, help="Steps of a sweep.")] = 100,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Sweeps of a stage.")] = 3,
    fresh: Annotated[bool, typer.Option("--fresh", help="Sweep again, even if this was found earlier.")] = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045 (typer reads this at run time)
        typer.Option(
            "--out", help="Folder of table, curves and picture; by default runs/NAME-lr-find.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Find the learning rate of a recipe by short sweeps from its first weights; trains nothing that is kept.

    `train.lr = "auto"` in a recipe does this before the training.
    """
    from fewer.cli.given import recipe_given
    from fewer.core.errors import RecipeError, printable

    if stages and stage > 1:
        raise RecipeError(f"--stages and --stage {stage}: give one of the two")
    found = recipe_given(recipe, overrides or [], probes=False)
    from fewer.runs.names import RUNS
    from fewer.tune.lr_find import FILES, Wish
    from fewer.tune.lr_find import lr_find as find

    folder = out or RUNS / f"{found.name}-lr-find"
    wish = Wish(0 if stages else stage, steps, repeats, fresh)
    document = find(found.recipe, wish, folder, found.plan, lambda text: print(printable(text), file=sys.stderr))
    print_document(document, as_json, _show, folder, FILES)
    return 0


def _show(document: dict[str, Any]) -> None:
    """A row a stage, and what to do with it."""
    from rich.console import Console
    from rich.table import Table

    from fewer.report import units

    console = Console(highlight=False)
    grid = Table("stage", "px", "batch", "lr", "interval", "steps", "FEE", "time", box=None, pad_edge=False)
    for each in document["stages"]:
        grid.add_row(
            str(each["stage"]),
            str(each["side_px"]),
            str(each["batch_size"]),
            f"{each['lr']:g}",
            f"{each['low']:.2g} to {each['high']:.2g}",
            str(sum(sweep["steps"] for sweep in each["sweeps"])),
            f"{each['full_epoch_equivalents']:.2f}",
            "cached" if each["cached"] else units.duration(each["seconds"]).replace(units.NBSP, " "),
        )
    console.print(grid)
    for each in document["stages"]:
        scaled = f", of which the stage takes {each['lr_scale']:g} times as much" if each["lr_scale"] != 1 else ""
        name = f"stage {each['stage']}: " if len(document["stages"]) > 1 else ""
        print(f"{name}use train.lr={each['train_lr']:g}{scaled}")
        if each["at_largest_rate"]:
            print("   the loss still falls at the largest rate that was tried: a larger one may be better")
        skipped = sum(sweep["skipped_steps"] for sweep in each["sweeps"])
        if skipped:
            print(f"   {skipped} steps overflowed in float16 and are left out")
