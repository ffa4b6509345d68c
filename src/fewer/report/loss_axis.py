"""The axis of losses: how high it reaches, so that one wild epoch or step does not flatten all others."""

from __future__ import annotations

import math
from collections.abc import Sequence

FAR = 5.0  # times the value that nine of ten epochs stay below
_STEPS = 200  # single steps from which on the highest hundredth of them is cut off


def top_of(epochs: Sequence[float], steps: Sequence[float]) -> float | None:
    """The upper end of the axis; None where all fits.

    Args:
        epochs: Losses of epochs, in training and validation: those far above the others are cut off.
        steps: Losses of single steps: their highest hundredth is cut off.
    """
    usual = _quantile(epochs, 0.9) if epochs else 0.0
    limit = FAR * usual if usual > 0 else math.inf
    near = [value for value in epochs if value <= limit]
    ceiling = _quantile(steps, 0.99) if len(steps) >= _STEPS else -math.inf
    cuts_steps = ceiling > min(steps, default=math.inf)
    if not cuts_steps and len(near) == len(epochs):
        return None
    top = max([*near, *([min(ceiling, limit)] if cuts_steps else [])])
    return top + 0.05 * abs(top)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))]
