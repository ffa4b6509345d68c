"""What a peer's training costs: the floating-point operations that `fewer` would book for its network and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task


@dataclass(frozen=True)
class Network:
    """A network at a side, as `fewer` counts it.

    Attributes:
        name: As in model.name.
        side_px, classes: What it is built for.
        keys: Further keys of [model].
        task: "classify" or "detect".
        aspect: Height over width of whole pictures.
        is_head_only: Whether only the last layer learns.
    """

    name: str
    side_px: int
    classes: int
    keys: Mapping[str, Any] = field(default_factory=dict)
    task: str = "classify"
    aspect: float = 1.0
    is_head_only: bool = False

    def sample_flops(self) -> int:
        """Of one sample forwards and backwards, nothing frozen."""
        from fewer.plan.flops import unfrozen_flops

        net, task = self._on_meta()
        return unfrozen_flops(task, net, self.side_px)

    def training_flops(self, evaluations: Sequence[Mapping[str, float]]) -> int:
        """Of all samples up to the last evaluation, at what one costs in its epoch.

        Args:
            evaluations: In order, each with its `epoch`, counted from 1, and the `samples` seen so far.
        """
        from fewer.models.matching import heads
        from fewer.plan.flops import flops_by_epoch

        if not evaluations:
            return 0
        net, task = self._on_meta()
        if self.is_head_only:
            net.requires_grad_(False)
            for name in heads(net, self.classes):
                net.get_submodule(name).requires_grad_(True)
        costs = flops_by_epoch(task, net, self.side_px, round(evaluations[-1]["epoch"]) + 1)

        def of_one(epoch: float) -> int:
            return next(cost.training for cost in reversed(costs) if cost.from_epoch < epoch)

        told: list[Mapping[str, float]] = [{"epoch": 0, "samples": 0}, *evaluations]
        return sum(round(now["samples"] - last["samples"]) * of_one(now["epoch"]) for last, now in pairwise(told))

    def depthwise_share(self) -> float:
        """See `fewer.models.dry_run.depthwise_share`."""
        from fewer.models import dry_run

        net, task = self._on_meta()
        return dry_run.depthwise_share(net, self.side_px, task)

    def _on_meta(self) -> tuple[nn.Module, Task]:
        from fewer import models, tasks
        from fewer.models import dry_run

        task = tasks.module(self.task).plain(tuple(map(str, range(self.classes))), self.aspect)
        params = models.params(self.name)(name=self.name, **self.keys)
        return dry_run.take(params, self.classes, [self.side_px], task), task
