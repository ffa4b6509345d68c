"""Data sets that bring the position along."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils.data import ChainDataset

from fewer.core.errors import DataError
from fewer.select.own_loop import Indexed
from own_loops import SIZE, Numbers


def test_indexed_brings_the_position_along() -> None:
    class Dicts(Numbers):
        def __getitem__(self, index: int) -> Any:
            return {"image": index**2}

        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [{"image": -index} for index in indices]

    assert Indexed(Numbers())[3] == (9, 0, 3)
    assert Indexed(Numbers()).__getitems__([2, 1]) == [(4, 2, 2), (1, 1, 1)]
    assert Indexed(Dicts())[3] == {"image": 9, "id": 3}
    assert Indexed(Dicts()).__getitems__([5]) == [{"image": -5, "id": 5}], "batches are fetched at once where they can"
    assert len(Indexed(Numbers())) == SIZE
    with pytest.raises(DataError, match="no positions"):
        Indexed(ChainDataset([]))
