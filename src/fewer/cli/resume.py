"""`fewer resume`: continuation of a run."""

from pathlib import Path
from typing import Annotated

import typer

from fewer.cli.options import Devices, For, Json, Overrides, Until, sitting


def resume(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    overrides: Overrides = None,
    devices: Devices = 1,
    until: Until = "",
    length: For = "",
    as_json: Json = False,
) -> int:
    """Continue a run, exactly as if it had never stopped.

    Only out.*, data.in_memory, data.processes, data.cache, train.epochs, and paths to the same data or weights may
    change. What has moved together with the run folder is found.
    """
    from fewer.cli.display import announce, finish, shown, shown_anyway
    from fewer.runs.folder import RunFolder
    from fewer.session.resume import reopened
    from fewer.sync.launch import is_rank, joined, launch

    ends, flags = sitting(until, length)
    announce(run, reopened(RunFolder(run, writes=False), overrides or []).recipe)
    if devices > 1 and not is_rank():
        flags += ["--json"] if as_json else []
        return launch(devices, ["resume", str(run), *(overrides or []), *flags])
    from fewer.session.fit import resume as resume_run

    with shown_anyway(as_json), joined() as comm, shown(comm.rank) as display:
        result = resume_run(run, overrides or [], comm=comm, display=display, until=ends)
    return finish(result, run, as_json, comm.rank)
