"""The curve of a sweep of learning rates, and the rate that it recommends: numbers in, numbers out.

The loss of a training whose rate grows step by step falls ever faster, then slower, and rises once steps have become
too large for the loss's curvature (Smith, "Cyclical learning rates for training neural networks", WACV 2017, section
3.3, takes the rates of both ends by eye). The rule here: the loss is smoothed over log(rate), and the recommendation is
the rate at which the slope of the smoothed loss over log(rate) comes to zero, the largest with which training still
gains. Two other rules, both of fastai (Howard & Gugger 2020), were tried on the same curves: a tenth of that rate, and
the rate where the slope is steepest. Both were up to ten times too low for the best rate of a schedule that anneals to
zero (docs/log.md). The slope is taken over log(rate), never over the rate: points lie evenly in log(rate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewer.core.errors import FewerError

Array = npt.NDArray[np.float64]

WIDTH_DECADES = 0.12  # standard deviation of the smoothing
_FIRST, _LAST = 10, 15  # points that the level at the start and at the end is the median of
_RUNAWAY = 4.0  # times the loss at the start: beyond it nothing comes back, as in fastai's and Lightning's finders
_BACK = 0.1  # of the fall: a loss that is only so much below its start again has lost what was learnt
_LEAST_FALL = 0.02  # of the loss at the start: less is no curve
_NOISE = 1.5  # standard deviations of single batches about the smoothed curve: a lesser fall may be chance


class NoRate(FewerError):
    """A curve from which no rate can be read; the message says what it looks like."""


@dataclass(frozen=True)
class Reading:
    """What a sweep says.

    Attributes:
        lr: Where the slope of the smoothed loss over log(rate) comes to zero: the recommendation.
        steepest_lr: Where that slope is steepest.
        at_end: The loss still falls at the largest rate.
    """

    lr: float
    steepest_lr: float
    at_end: bool


def smoothed(rates: Sequence[float], losses: Sequence[float]) -> Array:
    """The loss at each rate: a mean over neighbours in log(rate), weighted by a normal distribution.

    Losses beyond twice the level at the start count as twice that level, so that one runaway step spoils no neighbours.
    """
    log_P, loss_P = np.log10(np.asarray(rates)), np.asarray(losses)
    capped_P = np.minimum(loss_P, 2 * abs(_start(losses)))
    weight_PP = np.exp(-0.5 * ((log_P[:, None] - log_P[None, :]) / WIDTH_DECADES) ** 2)
    curve_P: Array = (weight_PP @ capped_P) / weight_PP.sum(axis=1)
    return curve_P


def read(rates: Sequence[float], losses: Sequence[float]) -> Reading:
    """The rate that a sweep recommends.

    Args:
        rates: Learning rates, ascending, each behind a step that was taken.
        losses: The finite loss of the next batch behind each.

    Raises:
        NoRate: The loss never falls.
    """
    curve_P = smoothed(rates, losses)
    lowest = int(curve_P.argmin())
    start, noise = _start(losses), 1.48 * float(np.median(np.abs(np.asarray(losses) - curve_P)))
    if start - curve_P[lowest] < max(_LEAST_FALL * abs(start), _NOISE * noise):
        raise NoRate(f"the loss is flat: it begins at {start:.4g} and never falls below {curve_P[lowest]:.4g}")
    slope_P = np.gradient(curve_P, np.log10(np.asarray(rates)))
    steepest = int(slope_P[: lowest + 1].argmin())
    return Reading(_crossing(rates, curve_P, lowest), float(rates[steepest]), lowest == len(rates) - 1)


def has_run_away(losses: Sequence[float], fewest: int) -> bool:
    """Whether a sweep need not go on: the loss has run away, or is back at its start for long after having fallen.

    Args:
        losses: All losses so far.
        fewest: How many there must be.
    """
    if len(losses) < max(fewest, _FIRST + _LAST):
        return False
    start, here = _start(losses), float(np.median(losses[-_LAST:]))
    middle = np.array([np.median(losses[at : at + _LAST]) for at in range(len(losses) - _LAST + 1)])
    has_fallen = start - middle.min() > _LEAST_FALL * abs(start) + 2 * float(np.std(losses[:_FIRST]))
    is_back = has_fallen and here >= start - _BACK * (start - float(middle.min()))
    return bool(is_back or min(losses[-3:]) > _RUNAWAY * abs(start))


def _start(losses: Sequence[float]) -> float:
    return float(np.median(losses[:_FIRST]))


def _crossing(rates: Sequence[float], curve_P: Array, lowest: int) -> float:
    """The zero of the slope: the vertex of the parabola through the lowest point and its neighbours, in log(rate)."""
    if not 0 < lowest < len(rates) - 1:
        return float(rates[lowest])
    log_3 = np.log10(np.asarray(rates[lowest - 1 : lowest + 2]))
    a, b, _ = np.polyfit(log_3 - log_3[1], curve_P[lowest - 1 : lowest + 2], 2)
    shift = -b / (2 * a) if a > 0 else 0.0
    return float(10 ** (log_3[1] + np.clip(shift, log_3[0] - log_3[1], log_3[2] - log_3[1])))
