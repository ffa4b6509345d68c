"""States of workers from several processes, which need not have the same entries."""

from __future__ import annotations

from typing import Any

import torch

from fewer.sync.gathering import gathered
from fewer.testing.ranks import on_ranks


def _states(rank: int) -> list[dict[str, Any]]:
    moments = {"0": {"momentum": torch.full((2, 3), float(rank)), "step": rank}} if rank != 1 else {}
    first = {"optimizer": {"state": moments, "lr": 0.1 * rank}, "flag": rank == 0, "of": torch.tensor([True, False])}
    return [first, {"optimizer": {}, "scalar": torch.tensor(rank)}]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return (str(value.dtype), value.tolist()) if isinstance(value, torch.Tensor) else (type(value).__name__, value)


def _gathered(comm: Any) -> Any:
    return [_plain(state) for state in gathered(_states(comm.rank), comm)]


def test_every_process_gets_the_states_of_all_also_where_one_has_begun_anew() -> None:
    wanted = [_plain(state) for rank in range(3) for state in _states(rank)]
    assert on_ranks(3, _gathered) == [wanted] * 3
