"""`fewer resume`: continuation of a run."""

from pathlib import Path
from typing import Annotated

import typer

from fewer.cli.options import Devices, Json, Overrides


def resume(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    overrides: Overrides = None,
    devices: Devices = 1,
    as_json: Json = False,
) -> int:
    """Continue a run, exactly as if it had never stopped.

    Only out.*, data.in_memory, data.processes, data.cache and train.epochs may change.
    """
    from fewer.cli.display import announce, finish, shown
    from fewer.recipe.parse import load_recipe
    from fewer.runs.folder import RESOLVED
    from fewer.sync.launch import is_rank, joined, launch

    if (run / RESOLVED).is_file():
        announce(run, load_recipe(run / RESOLVED))
    if devices > 1 and not is_rank():
        return launch(devices, ["resume", str(run), *(overrides or []), *(["--json"] if as_json else [])])
    from fewer.session.fit import resume as resume_run

    with joined() as comm, shown(comm.rank) as display:
        result = resume_run(run, overrides or [], comm=comm, display=display)
    return finish(result, run, as_json, comm.rank)
