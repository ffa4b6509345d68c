"""`fewer train`: one run of a recipe, or of one that is chosen for a source, with its report."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fewer.cli.options import Devices, For, Gpus, Json, Overrides, RecipeOrSource, Until, devices_asked, sitting


def train(
    recipe: RecipeOrSource,
    overrides: Overrides = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Run folder, which must be new; instead of --name.", show_default=False),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="Name of the run, by default the recipe's: runs/NAME, then runs/NAME-2, ...",
            show_default=False,
        ),
    ] = "",
    devices: Devices = 1,
    gpus: Gpus = "",
    until: Until = "",
    length: For = "",
    as_json: Json = False,
) -> int:
    """Train a recipe, or images alone: evaluates, checkpoints, and writes a run folder with a report."""
    from fewer.cli.given import recipe_given
    from fewer.core.errors import RecipeError

    ends, flags, devices = *sitting(until, length), devices_asked(devices, gpus)
    if name and out:
        raise RecipeError(f"--name {name} and --out {out}: give one of the two")
    found = recipe_given(recipe, overrides or [], devices)
    given = out or (Path(found.recipe.out.dir) if found.recipe.out.dir and not name else None)
    from fewer.cli.display import announce, finish, shown, shown_anyway
    from fewer.runs.folder import RunFolder
    from fewer.runs.names import RUNS, free_number, named, numbered, taken
    from fewer.sync.joining import joined
    from fewer.sync.launch import launch
    from fewer.sync.place import is_rank

    asked = named(name) if name else RUNS / found.name
    folder = given or (asked if is_rank() else numbered(asked, free_number(asked)))
    if given and not is_rank():  # a rank may come when another has made the folder already
        RunFolder(folder).require_new()
    announce(folder, found.recipe)
    if not given and folder != asked:
        print(taken(asked), file=sys.stderr)
    if devices > 1 and not is_rank():
        flags += ["--json"] if as_json else []
        with found.kept(recipe) as place:  # what was chosen here, every process takes
            return launch(devices, ["train", place, *found.left(overrides or []), "--out", str(folder), *flags])
    from fewer.session.fit import fit

    with shown_anyway(as_json), joined() as comm, shown(comm.rank) as display:
        if not given and is_rank():  # by torchrun: what rank 0 finds free now holds for all
            from fewer.sync.comm import of_rank_0

            folder = numbered(asked, of_rank_0(comm, free_number(asked)))
        result = fit(found.recipe, folder, given=found.text, comm=comm, display=display, until=ends)
    return finish(result, folder, as_json, comm.rank)
