"""`fewer push`: the copy of a run folder in object storage, completed or made."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def push(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    place: Annotated[
        str,
        typer.Argument(
            metavar="[s3://BUCKET/PREFIX]", help="Where to; left out: out.remote of its recipe.", show_default=False
        ),
    ] = "",
) -> int:
    """Copy a run folder to object storage: completes what training could not send, or makes a first copy."""
    from fewer.core.errors import RecipeError, printable
    from fewer.runs.folder import RESOLVED, RunFolder
    from fewer.runs.remote.address import parse_address
    from fewer.session.copying import push as copy
    from fewer.session.resume import recipe_of

    if not (run / RESOLVED).is_file():
        raise RecipeError(f"{run}: not a run folder: it has no {RESOLVED}; give the folder that `fewer train` made")
    out = recipe_of(RunFolder(run, writes=False))[0].out
    if place:
        try:
            out = out.model_copy(update={"remote": str(parse_address(place))})
        except ValueError as error:
            raise RecipeError(f"place: {error}") from None
    where, sent_bytes = copy(run, out, lambda text: print(printable(text), file=sys.stderr))
    print(f"{where}: complete, {sent_bytes / 1e6:.1f} MB were sent")
    return 0
