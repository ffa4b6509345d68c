"""The packer: what is pushed leaves once, in order, in full batches."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.select.packer import Packed, Packer


def packed(ids: list[int]) -> Packed:
    tensor = torch.tensor(ids, dtype=torch.int64)
    return Packed(tensor, tensor.double() + 1, tensor % 2, tensor % 3)


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(2, 10))
@settings(max_examples=100, deadline=None)
def test_what_is_pushed_leaves_once_in_order_in_full_batches(pushes: list[int], size: int) -> None:
    packer, pushed, popped = Packer(), [], []
    for index, count in enumerate(pushes):
        ids = list(range(len(pushed), len(pushed) + count))
        pushed += ids
        packer.push(packed(ids))
        last = index == len(pushes) - 1
        while (batch := packer.pop(size, last)) is not None:
            popped.append(batch)
    left = packer.clear()
    assert left <= 1 or not pushes
    leaving = [int(i) for batch in popped for i in batch.ids_G]
    assert leaving == pushed[: len(pushed) - left]
    assert all(len(batch) > 1 for batch in popped), "never one image alone"
    assert all(len(batch) in (size, size + 1) for batch in popped[:-1])
    for batch in popped:
        assert torch.equal(batch.weight_G, batch.ids_G.double() + 1), "weights stay with their samples"


def test_where_everything_is_kept_batches_leave_as_they_came() -> None:
    packer = Packer()
    for first, size in ((0, 5), (5, 5), (10, 4)):
        packer.push(packed(list(range(first, first + size))))
        batch = packer.pop(size, last=first == 10)
        assert batch is not None
        assert batch.ids_G.tolist() == list(range(first, first + size))
        assert packer.pop(size, last=first == 10) is None


def test_the_packer_survives_saving() -> None:
    packer, other = Packer(), Packer()
    packer.push(packed([3, 1, 2]))
    other.load_state_dict(packer.state_dict())
    assert other.pop(3, last=False).ids_G.tolist() == [3, 1, 2]  # type: ignore[union-attr]
