"""`fewer report`: the report of a run, written again."""

from pathlib import Path
from typing import Annotated

import typer


def report(runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)]) -> int:
    """Write report.html for run folders: one self-contained page each, also for runs that are not finished."""
    from fewer.report import write

    for run in runs:
        print(write(run))
    return 0
