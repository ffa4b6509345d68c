"""`fewer train`: one run of a recipe, with its report."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from fewer.cli.options import Devices, Json, Overrides, RecipeFile


def train(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Run folder; by default runs/NAME, with the recipe's name.", show_default=False),
    ] = None,
    devices: Devices = 1,
    as_json: Json = False,
) -> int:
    """Train a recipe: evaluates, checkpoints, and writes a run folder with a report."""
    from fewer.recipe.parse import load_recipe
    from fewer.recipe.toml_file import read_text

    checked = load_recipe(recipe, overrides or [])
    folder = out or Path(checked.out.dir or Path("runs") / recipe.stem)
    from fewer.cli.display import announce, finish, shown
    from fewer.sync.launch import is_rank, joined, launch

    announce(folder, checked)
    if devices > 1 and not is_rank():
        flags = ["--json"] if as_json else []
        return launch(devices, ["train", str(recipe), *(overrides or []), "--out", str(folder), *flags])
    from fewer.session.fit import fit

    with joined() as comm, shown(comm.rank) as display:
        result = fit(checked, folder, given=read_text(recipe), comm=comm, display=display)
    return finish(result, folder, as_json, comm.rank)
