"""Output files of a comparison."""

from __future__ import annotations

import csv
from pathlib import Path

from server import Ended
from small_comparison import results


def test_a_line_a_run_in_the_csv(compared: Ended, home: Path) -> None:
    with (home / "cmp" / "runs.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 10
    assert sorted({line["status"] for line in lines}) == ["done", "failed"]
    done = results(home)
    for line in lines:
        if line["status"] == "done":
            assert float(line["test/top1"]) == done[home / "cmp" / line["folder"]]["metrics"]["test/top1"]
        else:
            assert "keeps 0 of" in line["message"]
