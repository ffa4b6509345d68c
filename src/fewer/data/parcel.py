"""A value taken apart into its tensors and the rest, so that tensors can travel through shared memory.

The rest is what a pipe between a process and its own children carries: numbers, words, classes by their names. Tensors
are found wherever they are: in fields of dataclasses, in lists, tuples and dicts. So a field that is added to a
request travels by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

_ALIGNMENT = 8  # bytes; the largest of torch's plain types


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in a buffer, and what it is."""

    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of its values."""
        return torch.Size(self.shape).numel()

    @property
    def end(self) -> int:
        """Where the next tensor may begin."""
        end = self.offset + self.count * self.dtype.itemsize
        return -(-end // _ALIGNMENT) * _ALIGNMENT

    def of(self, buffer: Any) -> Tensor:
        """The tensor itself; it shares the buffer's memory."""
        if not self.count:
            return torch.empty(self.shape, dtype=self.dtype)
        flat = torch.frombuffer(buffer, dtype=self.dtype, count=self.count, offset=self.offset)
        return flat.view(self.shape)


@dataclass(frozen=True, slots=True)
class _Fields:
    """A dataclass without its tensors."""

    kind: type
    values: dict[str, Any]


def tensor_bytes(value: Any) -> int:
    """How much room the tensors of a value take."""
    return sum(Place(0, tensor.dtype, tuple(tensor.shape)).end for tensor in _tensors(value))


def packed(value: Any, buffer: Any, offset: int) -> Any:
    """Copies a value's tensors into a buffer, from an offset on; returns the rest, for `unpacked`."""

    def put(tensor: Tensor) -> Place:
        nonlocal offset
        place = Place(offset, tensor.dtype, tuple(tensor.shape))
        place.of(buffer).copy_(tensor)
        offset = place.end
        return place

    return _rebuilt(value, Tensor, put)


def unpacked(rest: Any, buffer: Any) -> Any:
    """The value again; its tensors share the buffer's memory."""
    return _rebuilt(rest, Place, lambda place: place.of(buffer))


def _rebuilt(value: Any, leaf: type, change: Callable[[Any], Any]) -> Any:
    """A value in which every leaf is changed; dataclasses become `_Fields`, and the other way round."""
    if isinstance(value, leaf):
        return change(value)
    if isinstance(value, _Fields):
        return value.kind(**{name: _rebuilt(part, leaf, change) for name, part in value.values.items()})
    if is_dataclass(value) and not isinstance(value, (type, Place)):
        named = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return _Fields(type(value), {name: _rebuilt(part, leaf, change) for name, part in named.items()})
    if isinstance(value, dict):
        return {key: _rebuilt(part, leaf, change) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_rebuilt(part, leaf, change) for part in value]
        return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    found: list[Tensor] = []
    _rebuilt(value, Tensor, found.append)
    return iter(found)
