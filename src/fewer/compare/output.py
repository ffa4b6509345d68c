"""Output files of a comparison: `compare.json`, `runs.csv`, `compare.html`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fewer.compare.comparison_page import comparison_page
from fewer.compare.results import COSTS, Results
from fewer.runs.record import publish, write_json

Rounds = Sequence[tuple[str, Results]]


def write(summary: dict[str, Any], rounds: Rounds, out: Path) -> None:
    """Writes all files; a reader sees the old or the new one, never half of it."""
    write_json(out / "compare.json", summary)
    publish(out / "runs.csv", _csv(list(_lines(rounds, out))))
    publish(out / "compare.html", comparison_page(summary))


def _lines(rounds: Rounds, out: Path) -> Iterator[dict[str, Any]]:
    """One line a run; a run that two arms share belongs to both."""
    for name, results in rounds:
        for arm in results.arms:
            for cell in results.of(arm):
                is_done = cell.state == "done"
                yield {
                    "round": name,
                    "arm": arm.name,
                    "kind": arm.kind,
                    "seed": cell.seed,
                    "status": cell.state,
                    **(cell.result["metrics"] | results.spent(cell) if is_done else {}),
                    "folder": cell.folder.relative_to(out).as_posix(),
                    "message": cell.message,
                }


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    first, last = ("round", "arm", "kind", "seed", "status"), (*COSTS, "folder", "message")
    metrics = sorted({key for line in lines for key in line} - {*first, *last})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*first, *metrics, *last], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
