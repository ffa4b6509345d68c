"""Every rank's own pace is known to all, and booked nowhere."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fewer.core.ledger import Ledger
from fewer.session.rank_speeds import RankSpeeds, in_words
from fewer.sync.comm import SingleProcess
from fewer.testing.ranks import on_ranks


def _two_epochs(comm: Any) -> tuple[list[list[dict[str, float]]], float]:
    ledger = Ledger(1, 100, 1.0)
    ledger.book(0, samples_loaded=1000)  # before the first epoch
    speeds, lines = RankSpeeds(ledger), []
    for _ in range(2):
        ledger.seconds[0]["train"] += 6.0
        ledger.seconds[0]["data_wait"] += 3.0 * comm.rank
        ledger.seconds[0]["sync"] += 1.0
        ledger.book(0, samples_loaded=70)
        lines.append(speeds.line(comm))
    return lines, comm.take_bytes_sent()


def test_each_rank_has_its_own_pace_and_waiting() -> None:
    for lines, sent in on_ranks(2, _two_epochs):
        assert sent == 0
        for ranks in lines:
            assert [rank["images_per_second"] for rank in ranks] == pytest.approx([10, 7])
            assert [rank["data_wait"] for rank in ranks] == pytest.approx([0, 0.3])
            assert [rank["sync"] for rank in ranks] == pytest.approx([1 / 7, 0.1])
            assert all(rank["peak_memory_bytes"] > 1e6 for rank in ranks)


def test_one_rank_has_nothing_to_compare_itself_with() -> None:
    assert RankSpeeds(Ledger(1, 100, 1.0, since=time.monotonic())).line(SingleProcess()) == []
    assert in_words([]) == ""


def test_ranks_are_said_side_by_side() -> None:
    rank = {"images_per_second": 210.2, "data_wait": 0.01, "sync": 0.03, "peak_memory_bytes": 8.1e8}
    slow = {**rank, "images_per_second": 198.0, "data_wait": 0.09, "peak_memory_bytes": 7.9e8}
    ranks = [{**each, "peak_device_memory_bytes": 0.0} for each in (rank, slow)]
    assert in_words(ranks) == "ranks 210, 198 images/s, waiting 4%, 12%, 810, 790 MB"
    on_gpu = [{**each, "peak_device_memory_bytes": 4e9} for each in ranks]
    assert in_words(on_gpu).endswith("4,000, 4,000 MB")
