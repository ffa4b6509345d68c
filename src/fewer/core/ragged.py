"""Values of different shapes, one for each sample: masks of their own sizes, boxes with their labels, images.

`take`, `to` and `joined` treat them and plain tensors alike, so that batches of either kind can be cut and joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Union, final

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Sample: TypeAlias = "Tensor | dict[str, Tensor]"
Values: TypeAlias = Union["Tensor", "Ragged"]


@final
@dataclass(frozen=True, slots=True)
class Ragged:
    """One value for each sample, whatever its shape.

    Attributes:
        samples: A tensor, or a dict of tensors (such as boxes and labels), for each sample.
    """

    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def device(self) -> torch.device:
        """Where the values lie; the CPU where there are none."""
        import torch

        if not self.samples:
            return torch.device("cpu")
        value = self.samples[0]
        return (next(iter(value.values())) if isinstance(value, dict) else value).device

    def take(self, index: Tensor | slice) -> Ragged:
        """The values at `index` (positions, mask or slice)."""
        import torch

        positions = torch.arange(len(self))[index if isinstance(index, slice) else index.cpu()]
        return Ragged(tuple(self.samples[i] for i in positions.tolist()))

    def to(self, device: torch.device) -> Ragged:
        """The values on a device."""
        return Ragged(tuple(_to(sample, device) for sample in self.samples))


def _to(sample: Sample, device: torch.device) -> Sample:
    return {key: value.to(device) for key, value in sample.items()} if isinstance(sample, dict) else sample.to(device)


def take(values: Values, index: Tensor | slice) -> Values:
    """The values at `index` (positions, mask or slice).

    Raises:
        TypeError: They are neither a tensor nor `Ragged`: indexing a list with a tensor of one position would give one
            sample in place of a batch of one.
    """
    return values.take(index) if isinstance(values, Ragged) else dense(values)[index]


def to(values: Values, device: torch.device) -> Values:
    """The values on a device.

    Raises:
        TypeError: They are neither a tensor nor `Ragged`.
    """
    return values.to(device) if isinstance(values, Ragged) else dense(values).to(device)


def joined(parts: Sequence[Values]) -> Values:
    """The values of several batches in their order.

    Raises:
        TypeError: Some are neither a tensor nor `Ragged`, or they are not all of one kind.
    """
    import torch

    if isinstance(parts[0], Ragged):
        return Ragged(tuple(sample for part in parts for sample in _ragged(part)))
    return torch.cat([dense(part) for part in parts])


def dense(values: Any) -> Tensor:
    """The values as the tensor that they are.

    Raises:
        TypeError: They are `Ragged`, or no values of a batch at all.
    """
    import torch

    if isinstance(values, torch.Tensor):
        return values
    fix = "give images of one size" if isinstance(values, Ragged) else "wrap them: Ragged(tuple(values))"
    raise TypeError(f"values of a batch are {type(values).__name__} where a tensor is needed; {fix}")


def _ragged(values: Values) -> Ragged:
    if not isinstance(values, Ragged):
        raise TypeError(f"values of a batch are {type(values).__name__}, those of the batch before it are Ragged")
    return values
