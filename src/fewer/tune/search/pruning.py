"""Pruning by metric against cost: the median rule of Vizier (Golovin et al., KDD 2017), over FLOPs in place of steps.

Steps and epochs are no common clock: a step of 512 images costs eight of 64, an epoch at 24 px less than one at 32. A
trial is compared with what others had reached for the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from fewer.core.evaluation import Metric

Curve = Sequence[tuple[float, float]]  # full-epoch equivalents, and the metric, of each validation in their order
STARTUP = 4  # trials that must be complete before any other is pruned
SPARED = 0.25  # of the recipe's predicted cost: before, no trial is pruned
_ROUNDING = 1e-6


def lags(own: Curve, others: Sequence[Curve], metric: Metric, spared: float) -> bool:
    """Whether a trial's best so far is worse than the median of what complete trials had reached at its cost.

    A complete trial that had ended by then counts with its best: it was cheaper, and is over.

    Args:
        own: The trial's validations so far.
        others: Those of the complete trials.
        metric: The deciding metric.
        spared: Full-epoch equivalents that every trial may take.
    """
    if not own or own[-1][0] < spared:
        return False
    cost = own[-1][0]
    reached = [best for each in others if (best := best_by(each, cost, metric)) is not None]
    mine = best_by(own, cost, metric)
    if len(reached) < STARTUP or mine is None:
        return False
    return metric.sign * mine < metric.sign * median(reached)


def best_by(curve: Curve, cost: float, metric: Metric) -> float | None:
    """The best value that a curve has reached by a cost; None where it begins behind it."""
    reached = [metric.sign * value for spent, value in curve if spent <= cost * (1 + _ROUNDING)]
    return metric.sign * max(reached) if reached else None
