"""Savings by stages: what each costs beside plain training, as many epochs of all images at the largest side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fewer.core.types import Stage
from fewer.plan.facts import Facts

LEAST_SAVING = 0.05  # of plain training's arithmetic: less is not worth what a curriculum costs in accuracy


@dataclass(frozen=True, slots=True)
class StageCost:
    """What the epochs of a stage, or of several, cost.

    Attributes:
        low_flops, high_flops: Scoring and training; equal where nothing decides during the run.
        plain_flops: As many plain epochs.
    """

    low_flops: float
    high_flops: float
    plain_flops: float

    @property
    def saved(self) -> tuple[float, float]:
        """Least and most share of plain training that is saved; below zero where more is spent."""
        return 1 - self.high_flops / self.plain_flops, 1 - self.low_flops / self.plain_flops


def stage_costs(
    facts: Facts, stages: Sequence[Stage], epochs_flops: Sequence[tuple[float, float]]
) -> tuple[StageCost, ...]:
    """The cost of each stage.

    Args:
        facts: What is known of data and model.
        stages: The run's stages.
        epochs_flops: Lowest and highest FLOPs of every epoch.
    """
    largest_px, images, model = max(stage.side_px for stage in stages), facts.data.train_images, facts.model
    found = []
    for stage in stages:
        epochs = range(stage.first_epoch, stage.first_epoch + stage.epochs)
        lows, highs = zip(*(epochs_flops[epoch] for epoch in epochs), strict=True)
        plain = sum(images * model.sample_flops(largest_px, epoch).training for epoch in epochs)
        found.append(StageCost(sum(lows), sum(highs), float(plain)))
    return tuple(found)


def of_length(costs: Sequence[StageCost], before: Sequence[Stage], after: Sequence[Stage]) -> tuple[StageCost, ...]:
    """The cost of stages that have become shorter or longer: in proportion to their epochs."""
    found = []
    for cost, old, new in zip(costs, before, after, strict=False):
        factor = new.epochs / old.epochs
        found.append(StageCost(cost.low_flops * factor, cost.high_flops * factor, cost.plain_flops * factor))
    return tuple(found)


def together(costs: Iterable[StageCost]) -> StageCost:
    """The cost of several stages."""
    each = list(costs)
    sums = (sum(getattr(cost, name) for cost in each) for name in ("low_flops", "high_flops", "plain_flops"))
    return StageCost(*sums)


def saves_little(stages: Sequence[Stage], costs: Sequence[StageCost]) -> str:
    """A warning where stages that are there to save arithmetic save next to nothing; else nothing.

    Args:
        stages: The run's stages.
        costs: Their cost where each trains on all that it shows, without the optimizer's own arithmetic.
    """
    largest_px = max(stage.side_px for stage in stages)
    if not any(stage.sides_px[0] < largest_px or stage.data_share < 1 or stage.frozen_layers for stage in stages):
        return ""
    saved = together(costs).saved[0]
    if saved >= LEAST_SAVING:
        return ""
    epochs = sum(stage.epochs for stage in stages)
    return (
        f"warning: the stages save {saved:.1%} of the FLOPs of plain training, {epochs} epochs at {largest_px} px: "
        f"less than {LEAST_SAVING:.0%}; give smaller images more of the epochs, or train plainly"
    )
