"""Schedules: closed-form functions of progress in [0, 1], for the learning rate and the momentum.

They equal those of `torch.optim.lr_scheduler` that are stepped once for each of S batches, at progress k / S before
batch k: LinearLR, CosineAnnealingLR with T_max = S, StepLR and MultiStepLR stepped once an epoch. OneCycleLR reaches
its last value on the last step it counts, these functions at progress 1, behind the last batch: it is equal for
`total_steps = S + 1` and `pct_start = (peak * S + 1) / (S + 1)`. None can be stepped too often.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a schedule.

    Attributes:
        warmup: Share of the run that the warm-up takes.
        start: Value at progress 0, where there is a warm-up.
        final: Value at progress 1.
        every: `step`: share of the run between two drops.
        at: `step`: progress of each drop; in place of `every` where there are any.
        gamma: `step`: factor of a drop.
    """

    warmup: float = 0.0
    start: float = 0.0
    final: float = 0.0
    every: float = 1.0
    at: tuple[float, ...] = ()
    gamma: float = 0.1


Schedule = Callable[[float, Shape], float]

_TINY = 1e-9  # progress is a quotient: it may fall short of a border by a rounding


def linear(progress: float, shape: Shape) -> float:
    """Linear warm-up from `start` to 1, then linear decay to `final` (Li et al., "Budgeted training", ICLR 2020)."""
    if progress < shape.warmup:
        return _warming(progress, shape)
    return 1.0 if shape.warmup >= 1 else 1 + (shape.final - 1) * (progress - shape.warmup) / (1 - shape.warmup)


def constant(progress: float, shape: Shape) -> float:
    """Linear warm-up from `start` to 1, then 1; `final` has no effect."""
    return _warming(progress, shape) if progress < shape.warmup else 1.0


def cosine(progress: float, shape: Shape) -> float:
    """Linear warm-up from `start` to 1, then half a cosine down to `final` (Loshchilov & Hutter, SGDR, ICLR 2017)."""
    if progress < shape.warmup:
        return _warming(progress, shape)
    return _annealed(1.0, shape.final, _after(progress, shape.warmup))


def step(progress: float, shape: Shape) -> float:
    """Linear warm-up from `start` to 1, and a factor of `gamma` at each drop; `final` has no effect."""
    drops = sum(progress > at - _TINY for at in shape.at) if shape.at else int(progress / shape.every + _TINY)
    return constant(progress, shape) * shape.gamma**drops


def one_cycle(progress: float, shape: Shape) -> float:
    """Half a cosine up from `start` to 1 during the warm-up, and one down to `final` (Smith & Topin 2018)."""
    if progress < shape.warmup:
        return _annealed(shape.start, 1.0, progress / shape.warmup)
    return _annealed(1.0, shape.final, _after(progress, shape.warmup))


def one_cycle_momentum(progress: float, warmup: float, low: float, high: float) -> float:
    """Momentum that is low where `one_cycle`'s rate is high: down from `high` to `low`, and up again.

    Args:
        progress: Share of the run that lies behind.
        warmup: Share of the run at which the rate peaks.
        low: Momentum at the peak.
        high: Momentum at both ends.
    """
    if progress < warmup:
        return _annealed(high, low, progress / warmup)
    return _annealed(low, high, _after(progress, warmup))


SCHEDULES: dict[str, Schedule] = {
    "linear": linear,
    "constant": constant,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "step": step,
}
# Keys of `[train]` that only one schedule has.
KEYS: dict[str, tuple[str, ...]] = {
    "one_cycle": ("cycle_peak", "cycle_momentum"),
    "step": ("step_every", "step_at", "step_gamma"),
}


def _warming(progress: float, shape: Shape) -> float:
    return shape.start + (1 - shape.start) * progress / shape.warmup


def _after(progress: float, warmup: float) -> float:
    """Share of what follows the warm-up that lies behind."""
    return 0.0 if warmup >= 1 else (progress - warmup) / (1 - warmup)


def _annealed(first: float, last: float, share: float) -> float:
    """From `first` to `last` along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
