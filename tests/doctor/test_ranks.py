"""Health lines of ranks: what they measure is real, and what is wrong is said with a fix."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.doctor import FAIL, OK, ranks
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks
from judgements import check_judgement

FOUND = {
    "host": "gpu-3",
    "device": "cpu",
    "free_bytes": 3 << 30,
    "ranks": 2,
    "sum": 2.0,
    "joined": [0, 1],
    "latency_s": 2e-4,
    "bytes_per_second": 1.25e9,
}


@pytest.mark.parametrize(
    ("found", "verdict", "parts"),
    [
        (FOUND, OK, ["gpu-3, cpu, 3.0 GiB free, all_reduce over 2 ranks right, 1,250 MB/s, 0.20 ms"]),
        ({**FOUND, "free_bytes": None}, OK, ["gpu-3, cpu, all_reduce"]),
        ({**FOUND, "sum": 1.0}, FAIL, ["the sum over 2 ranks is 1", "RANK"]),
        ({**FOUND, "joined": [0, 0]}, FAIL, ["joined they are [0, 0]"]),
        ({"error": "rank 0 found no rank 0"}, FAIL, ["cannot train with the others", "GLOO_SOCKET_IFNAME"]),
    ],
)
def test_judgements(found: dict[str, Any], verdict: str, parts: list[str]) -> None:
    result = ranks.judge(1, found)
    assert result.name == "rank 1"
    check_judgement(result, verdict, parts)


def test_every_rank_is_measured_and_all_reach_rank_0() -> None:
    with one_thread():
        everybody = on_ranks(2, _health)
    assert everybody[0] == everybody[1]
    assert len(everybody[0]) == 2
    for found in everybody[0]:
        assert (found["sum"], found["joined"], found["ranks"]) == (2.0, [0, 1], 2)
        assert min(found["latency_s"], found["bytes_per_second"]) > 0


def _health(comm: Any) -> list[dict[str, Any]]:
    return ranks.gathered(comm, ranks.measured(comm))


def test_more_ranks_than_this_machine_has_room_for() -> None:
    with pytest.raises(RecipeError, match="--devices 999"):
        ranks.on_this_machine(999)
