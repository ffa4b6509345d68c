"""FLOPs of one sample's forward and backward, counted by torch. Needs no torch until it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewer.core.protocols import ChangesByEpoch, Task
from fewer.core.types import At

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


def sample_flops(task: Task, model: nn.Module, side_px: int) -> tuple[int, int]:
    """FLOPs of one sample's forward and backward, counted by torch on the task's dummy batch of two.

    Args:
        task: What is learnt: its loss is what the backward begins with.
        model: A model on any device; on "meta" nothing is computed.
        side_px: Height and width of the image.
    """
    from torch.utils.flop_counter import FlopCounterMode

    weight = next(model.parameters())
    batch = task.dummy_batch(side_px, weight.device, weight.dtype)
    with FlopCounterMode(display=False) as forward:
        loss = task.outcome(model, batch, At(0, 1, 0.0)).loss_sum_B.sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
    return forward.get_total_flops() // len(batch), backward.get_total_flops() // len(batch)


def flops_by_epoch(task: Task, model: nn.Module, side_px: int, epochs: int) -> tuple[Flops, ...]:
    """FLOPs of one sample from epoch 0 on, and from each epoch at which the set of trained parameters changes."""
    if not isinstance(model, ChangesByEpoch):
        return (Flops(0, *sample_flops(task, model, side_px)),)
    found = []
    for epoch in (0, *(epoch for epoch in model.changes_at if 0 < epoch < epochs)):
        model.prepare(epoch)
        found.append(Flops(epoch, *sample_flops(task, model, side_px)))
    return tuple(found)


def unfrozen_flops(task: Task, model: nn.Module, side_px: int) -> int:
    """FLOPs of one sample's forward and backward with nothing frozen; leaves the model so."""
    return sum(sample_flops(task, model.requires_grad_(True), side_px))
