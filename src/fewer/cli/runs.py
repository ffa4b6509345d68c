"""`fewer runs`: the runs below a folder, with state, metric, cost and time."""

from pathlib import Path
from typing import Annotated

import typer

from fewer.cli.options import Json


def runs(
    folder: Annotated[Path, typer.Argument(help="The folder.", show_default=True)] = Path("runs"),
    as_json: Json = False,
) -> int:
    """List runs: state, metric, cost and time of each, the newest last; unfinished and damaged ones, too."""
    from fewer.core.errors import RecipeError, printable
    from fewer.report import units
    from fewer.report.overview import moment, summaries

    if not folder.is_dir():
        raise RecipeError(f"{folder}: no such folder; give one that holds run folders")
    found = summaries(folder)
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps({"schema": 1, "runs": [asdict(run) for run in found]}))
        return 0
    if not found:
        print(f"{folder}: no runs here")
        return 0
    rows = [("run", "state", "metric", "epochs", "FEE", "time", "when")]
    for run in found:
        epochs = "/".join("?" if count is None else str(count) for count in (run.epochs, run.planned_epochs))
        fee = "" if run.full_epoch_equivalents is None else f"{run.full_epoch_equivalents:.2f}"
        spent = "" if run.seconds is None else units.duration(run.seconds).replace(units.NBSP, " ")
        rows.append((printable(run.run), run.state, run.text, epochs, fee, spent, moment(run.changed)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0
