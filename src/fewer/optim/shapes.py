"""Shapes of schedules: the warm-up and the curves that several of them share."""

from __future__ import annotations

import math
from collections.abc import Callable

from fewer.core.clock import Duration
from fewer.core.config import Section, Share, Span

Shape = Callable[[float], float]  # progress in [0, 1] to a value

TINY = 1e-9  # progress is a quotient: it may fall short of a border by a rounding


class Warmup(Section):
    """Keys of schedules that begin with a linear warm-up."""

    warmup: Span = Duration(5, "%")
    """Time that the learning rate takes to rise to `lr`, in a straight line."""
    warmup_start: Share = 0.1
    """Learning rate at the first step, as a share of `lr`."""
    final: Share = 0.0
    """Learning rate at the very end, as a share of `lr`; `constant` and `step` have none."""


def warmed_up(params: Warmup, epochs: int, then: Shape) -> Shape:
    """A schedule with a linear warm-up before it.

    Args:
        params: The keys of the warm-up.
        epochs: All epochs of the run.
        then: What follows, a function of the progress of the whole run.
    """
    end, start = share_of(params.warmup, epochs), params.warmup_start

    def shape(progress: float) -> float:
        return start + (1 - start) * progress / end if progress < end else then(progress)

    return shape


def share_of(duration: Duration, epochs: int) -> float:
    """A duration as a share of the run."""
    return duration.in_epochs(epochs) / epochs


def after(progress: float, start: float) -> float:
    """How much of what follows `start` is over, in [0, 1]."""
    return 0.0 if start >= 1 else (progress - start) / (1 - start)


def annealed(first: float, last: float, share: float) -> float:
    """From `first` to `last` along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
