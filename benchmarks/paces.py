"""Schedules by which plain training takes as many steps at each rate as `srd` does, and `srd` as plain training.

Both train on as much in all, and both have a rate that falls in a straight line from epoch to epoch. But `srd` has its
large epochs first, so that it takes most of its steps at high rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from fewer.core.clock import Duration
from fewer.optim.schedules import linear
from fewer.select.budget import Budget
from fewer.select.methods import srd

WARMUP = 0.1  # of the studies that are compared

Pairs = Sequence[tuple[float, float]]


def srd_shares(epochs: int, cost: float) -> list[float]:
    """The share of the images that each epoch of `srd` trains on at a cost, by its own rule."""
    selector = srd.Srd(srd.Params(cost=cost), seed=0)
    budget = Budget(10_000, (3.0,) * epochs, (1,) * epochs, cost)
    level = budget.first_level(selector.expected)
    return [selector.expected(budget.at(epoch, level)).kept_high for epoch in range(epochs)]


def as_srd(epochs: int, cost: float) -> tuple[str, ...]:
    """Plain training for a share of the epochs, each step at the rate that this step of `srd` has."""
    steps = _steps(epochs, cost)
    return f"train.epochs={round(cost * epochs)}", *_points([(done, clock) for clock, done in steps])


def as_plain(epochs: int, cost: float) -> tuple[str, ...]:
    """`srd`, each step at the rate that this step of plain training of the same cost has."""
    return "select.method=srd", f"select.cost={cost:g}", *_points(_steps(epochs, cost))


def _steps(epochs: int, cost: float) -> Pairs:
    """Shares of the epochs of `srd`, with the shares of all its steps that these have."""
    shares = srd_shares(epochs, cost)
    return [(epoch / epochs, past / sum(shares)) for epoch, past in enumerate(accumulate(shares, initial=0.0))]


def _points(clocks: Pairs) -> tuple[str, ...]:
    """The linear schedule of the studies, on a clock that runs faster and slower.

    Args:
        clocks: Moments of the run, from 0 to 1, with those that the schedule then takes it for.
    """
    shape = linear.build(linear.Params(warmup=Duration(100 * WARMUP, "%")), 1)
    turned = [(clock, moment) for moment, clock in clocks]
    moments = sorted({*(moment for moment, _ in clocks), _between(turned, WARMUP)})
    points = (f'["{100 * moment:.3f}%", {shape(_between(clocks, moment)):.4f}]' for moment in moments)
    return "train.schedule=piecewise", "train.warmup=", f"train.schedule_points=[{', '.join(points)}]"


def _between(pairs: Pairs, first: float) -> float:
    """The second of a pair with this first, on straight lines between the pairs that are given."""
    index = next(index for index, pair in enumerate(pairs) if pair[0] >= first - 1e-12)
    high = pairs[index]
    low = pairs[max(0, index - 1)]
    if high[0] <= low[0]:
        return high[1]
    return low[1] + (high[1] - low[1]) * (first - low[0]) / (high[0] - low[0])
