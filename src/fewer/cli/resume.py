"""`fewer resume`: continuation of a run."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fewer.cli.options import Devices, For, Gpus, Json, Overrides, Until, devices_asked, sitting
from fewer.core.errors import RecipeError


def resume(
    run: Annotated[str, typer.Argument(help="The run folder, or its copy: s3://BUCKET/PREFIX.", show_default=False)],
    overrides: Overrides = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", help="New folder for a run that is fetched from s3://; left out: runs/NAME.", show_default=False
        ),
    ] = None,
    devices: Devices = 1,
    gpus: Gpus = "",
    until: Until = "",
    length: For = "",
    as_json: Json = False,
) -> int:
    """Continue a run, exactly as if it had never stopped.

    Only out.*, evaluate.every, data.in_memory, data.processes, data.cache, train.epochs, and paths to the same data or
    weights may change. What has moved together with the run folder is found. A copy is fetched first, its newest whole
    state.
    """
    from fewer.cli.display import announce, finish, shown, shown_anyway
    from fewer.runs.folder import RunFolder
    from fewer.runs.remote.address import is_address
    from fewer.session.resume import reopened
    from fewer.sync.joining import joined
    from fewer.sync.launch import launch
    from fewer.sync.place import is_rank

    ends, flags, devices = *sitting(until, length), devices_asked(devices, gpus)
    keys, folder = list(overrides or []), Path(run)
    if is_address(run):
        folder, keys = _fetched(run, out, keys)
    elif out:
        raise RecipeError(f"--out {out}: a run goes on where it is; only one fetched from s3:// has a new place")
    announce(folder, reopened(RunFolder(folder, writes=False), keys).recipe)
    if devices > 1 and not is_rank():
        flags += ["--json"] if as_json else []
        return launch(devices, ["resume", str(folder), *keys, *flags])
    from fewer.session.fit import resume as resume_run

    with shown_anyway(as_json), joined() as comm, shown(comm.rank) as display:
        result = resume_run(folder, keys, comm=comm, display=display, until=ends)
    return finish(result, folder, as_json, comm.rank)


def _fetched(place: str, out: Path | None, keys: list[str]) -> tuple[Path, list[str]]:
    """The folder of a run whose copy has been fetched, and the keys that it goes on with."""
    from fewer.core.errors import printable
    from fewer.session.copying import fetched, from_copy
    from fewer.sync.place import is_rank

    if is_rank():
        raise RecipeError(
            f"{place}: each rank of torchrun would fetch it; `fewer resume {place} --devices N` fetches it once"
        )
    folder = fetched(place, out, lambda text: print(printable(text), file=sys.stderr))
    return folder, from_copy(place, keys)
