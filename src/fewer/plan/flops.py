"""FLOPs of one sample's forward and backward, counted by torch. Needs no torch until it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewer.core.protocols import ChangesByEpoch
from fewer.core.types import first

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of one sample from some epoch on, while the set of trained parameters stays the same."""

    from_epoch: int
    forward: int
    backward: int

    @property
    def training(self) -> int:
        """FLOPs of one sample's forward and backward."""
        return self.forward + self.backward


def sample_flops(model: nn.Module, side_px: int) -> tuple[int, int]:
    """FLOPs of one sample's forward and backward, counted by torch on a batch of two (BatchNorm needs two).

    Args:
        model: A model on any device; on "meta" nothing is computed.
        side_px: Height and width of the image.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    weight = next(model.parameters())
    images = torch.empty(2, 3, side_px, side_px, device=weight.device, dtype=weight.dtype)
    with FlopCounterMode(display=False) as forward:
        loss = first(model(images)).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
    return forward.get_total_flops() // 2, backward.get_total_flops() // 2


def flops_by_epoch(model: nn.Module, side_px: int, epochs: int) -> tuple[Flops, ...]:
    """FLOPs of one sample from epoch 0 on, and from each epoch at which the set of trained parameters changes."""
    if not isinstance(model, ChangesByEpoch):
        return (Flops(0, *sample_flops(model, side_px)),)
    found = []
    for epoch in (0, *(epoch for epoch in model.changes_at if 0 < epoch < epochs)):
        model.prepare(epoch)
        found.append(Flops(epoch, *sample_flops(model, side_px)))
    return tuple(found)


def unfrozen_flops(model: nn.Module, side_px: int) -> int:
    """FLOPs of one sample's forward and backward with nothing frozen; leaves the model so."""
    return sum(sample_flops(model.requires_grad_(True), side_px))
