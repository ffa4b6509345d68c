"""Data sets that bring the position along."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ChainDataset, DataLoader

from fewer.core.errors import DataError, UsageError
from fewer.select.own_loop import Indexed
from fewer.select.own_loop.indexed import require_positions
from own_loops import SIZE, Numbers, build


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


class Pairs(Numbers):
    """Images and labels, as most data sets have them; each look draws random numbers."""

    def __getitem__(self, index: int) -> Any:
        return torch.rand(2) + random.random(), torch.tensor(index % 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loop_whose_samples_do_not_say_which_they_are_is_told_so(workers: int) -> None:
    """Else its first line, `for image_B, label_B, id_B in loader`, fails with "not enough values to unpack"."""
    chooser = build({"method": "infobatch"})
    chooser.begin(0)
    with pytest.raises(UsageError, match=r"Pairs .*DataLoader\(Indexed\(data\)"):
        next(iter(DataLoader(Pairs(), batch_size=4, sampler=chooser.sampler, num_workers=workers)))


def test_samples_that_say_which_they_are_in_a_way_of_their_own_are_let_pass() -> None:
    class Own(Numbers):
        def __getitem__(self, index: int) -> Any:
            return torch.zeros(2), index  # no label, but the position

    class Named(Numbers):
        def __getitem__(self, index: int) -> Any:
            return torch.zeros(2), f"image-{index}"

    for data in (Own(), Named(), Indexed(Pairs())):
        chooser = build({"method": "infobatch"})
        chooser.begin(0)
        assert len(list(DataLoader(data, batch_size=4, sampler=chooser.sampler))) > 1

    class Drawing(Numbers):
        def __getitem__(self, index: int) -> Any:
            return {"id": index, "noise": np.random.rand()}

    before = torch.random.get_rng_state(), random.getstate()
    np.random.seed(3)
    require_positions(Drawing(), [0, 1])
    of_numpy = np.random.rand()
    np.random.seed(3)
    assert of_numpy == np.random.rand()
    require_positions(Own(), [0, 1])
    with pytest.raises(UsageError):
        require_positions(Pairs(), [1, 2, 5])
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == random.getstate(), "the loop's random numbers stay what they were"
