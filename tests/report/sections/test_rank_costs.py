"""A row a rank: its pace, its waiting and its memory; nothing for one rank alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fewer.report.load import Folder
from fewer.report.sections.rank_costs import rank_costs


def _shown(ranks: list[dict[str, Any]]) -> str:
    return str(rank_costs(cast(Folder, SimpleNamespace(path=Path(), result={"ledger": {"ranks": ranks}}))))


def test_a_rank_that_waits_is_seen() -> None:
    seconds = {"train": 6.0, "select": 0.0, "data_wait": 3.0, "compile": 0.0, "sync": 1.0}
    rank = {"samples_loaded": 700, "bytes_sent": 5000, "peak_memory_bytes": 800_000_000, "seconds": seconds}
    shown = _shown([rank, {**rank, "seconds": {**seconds, "data_wait": 0.0}}])
    assert "Ranks" in shown
    for text in ("70", "30", "10", "100", "5.00", "800"):
        assert text in shown


def test_one_rank_and_damaged_results_show_nothing_or_what_is_there() -> None:
    assert not _shown([])
    assert not _shown([{"samples_loaded": 1}])
    assert "Ranks" in _shown([{}, {"seconds": "damaged"}])
