"""The axis of losses: how high it reaches, so that one wild epoch or step does not flatten all others."""

from __future__ import annotations

from collections.abc import Sequence

FAR = 5.0  # times the value that nine of ten epochs stay below
_STEPS = 200  # single steps from which on the highest hundredth of them is cut off


def top_of(epochs: Sequence[float], steps: Sequence[float]) -> float | None:
    """The upper end of the axis; None where all fits.

    Args:
        epochs: Losses of epochs, in training and validation: those far above the others are cut off.
        steps: Losses of single steps: their highest hundredth is cut off.
    """
    limit = FAR * _quantile(epochs, 0.9) if epochs else None
    near = [value for value in epochs if limit is None or value <= limit]
    ceiling = _quantile(steps, 0.99) if len(steps) >= _STEPS else None
    if ceiling is not None and (ceiling <= min(steps) or (limit is not None and ceiling > limit)):
        ceiling = None if ceiling <= min(steps) else limit
    if ceiling is None and len(near) == len(epochs):
        return None
    top = max([*near, *([] if ceiling is None else [ceiling])])
    return top + 0.05 * abs(top)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))]
