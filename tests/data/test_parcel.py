"""Values come out of shared memory as they went in."""

from __future__ import annotations

import mmap
import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fewer.data import parcel

DTYPES = (torch.uint8, torch.bool, torch.int16, torch.int64, torch.float32, torch.float64)


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    value: Any


class Pair(NamedTuple):
    first: Any
    second: Any


tensors = st.builds(
    lambda shape, dtype: torch.arange(torch.Size(shape).numel()).view(shape).to(dtype),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from(DTYPES),
)
values = st.recursive(
    tensors | st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
        | st.builds(Part, st.text(max_size=2), inner)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=8,
)


def equal(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, Part):
        return left.kind == right.kind and equal(left.value, right.value)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


@given(value=values, offset=st.integers(0, 5).map(lambda n: 8 * n))
def test_what_is_packed_comes_out_equal(value: Any, offset: int) -> None:
    needed = parcel.tensor_bytes(value)
    buffer = mmap.mmap(-1, offset + needed + 1)
    rest = parcel.packed(value, buffer, offset)
    assert b"torch._utils" not in pickle.dumps(rest)  # no tensor is left in what the pipe carries
    assert not any(buffer[:offset] + buffer[offset + needed :])
    assert equal(parcel.unpacked(pickle.loads(pickle.dumps(rest)), buffer), value)


def test_a_tensor_of_any_layout_is_copied() -> None:
    buffer = mmap.mmap(-1, 4096)
    across = torch.arange(12).view(3, 4).t()
    assert torch.equal(parcel.unpacked(parcel.packed({"a": across}, buffer, 0), buffer)["a"], across)
