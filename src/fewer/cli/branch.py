"""`fewer branch`: a run of its own that goes on from a checkpoint of another."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from fewer.cli.options import Devices, For, Gpus, Json, Overrides, Until, devices_asked, sitting


def branch(
    trunk: Annotated[
        str,
        typer.Argument(
            metavar="RUN[@CHECKPOINT]",
            help="A run folder, and the checkpoint, by name or by epochs: runs/trunk@8. The newest if left out.",
            show_default=False,
        ),
    ],
    overrides: Overrides = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Run folder, which must be new; RUN-branch if left out.", show_default=False),
    ] = None,
    devices: Devices = 1,
    gpus: Gpus = "",
    until: Until = "",
    length: For = "",
    as_json: Json = False,
) -> int:
    """Start a cooldown, or a variant, from a checkpoint of a run, as a run of its own whose ledger counts the trunk.

    Keys of data, model, selection and workers stay the trunk's. train.epochs is the new total, the trunk's included.
    """
    from fewer.cli.display import announce, finish, shown
    from fewer.core.errors import UsageError
    from fewer.session.branch import branch_off, found
    from fewer.session.fit import resume
    from fewer.session.resume import recipe_of
    from fewer.sync.comm import of_rank_0
    from fewer.sync.joining import joined
    from fewer.sync.launch import launch
    from fewer.sync.place import is_rank

    ends, flags, devices = *sitting(until, length), devices_asked(devices, gpus)
    if is_rank() and out is None:
        raise UsageError("--out: processes that torchrun starts need one name for the new run folder")
    if devices > 1 and not is_rank():
        folder = branch_off(trunk, overrides or [], out)
        announce(folder, recipe_of(found(str(folder))[0])[0])
        return launch(devices, ["resume", str(folder), *flags, *(["--json"] if as_json else [])])
    with joined() as comm, shown(comm.rank) as display:
        folder = branch_off(trunk, overrides or [], out) if comm.rank == 0 or out is None else out
        of_rank_0(comm, 0)  # the others wait for the folder
        announce(folder, recipe_of(found(str(folder))[0])[0])
        result = resume(folder, comm=comm, display=display, until=ends)
    return finish(result, folder, as_json, comm.rank)
