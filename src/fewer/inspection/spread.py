"""The spread of values: least, most, mean, percentiles, and a histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Figures = dict[str, Any]
Values = npt.NDArray[np.float64]
BINS = 32
PERCENTILES = {"p1": 1, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "p99": 99}


def spread(values: Values, span: tuple[float, float]) -> Figures:
    """Figures of some values, at least one.

    Args:
        values: The values.
        span: Where the histogram begins and ends.
    """
    points = np.percentile(values, list(PERCENTILES.values())).tolist()
    count, edges = np.histogram(values, BINS, span)
    return {
        "min": float(values.min()),
        **dict(zip(PERCENTILES, points, strict=True)),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "histogram": {"edges": edges.tolist(), "counts": count.tolist()},
    }


def spreads(values_of: dict[str, Values]) -> dict[str, Figures]:
    """The spread of each split's values, with the same bins for all; splits without values are left out."""
    filled = {split: values for split, values in values_of.items() if len(values)}
    if not filled:
        return {}
    low, high = min(float(each.min()) for each in filled.values()), max(float(each.max()) for each in filled.values())
    return {split: spread(values, (low, high if high > low else low + 1)) for split, values in filled.items()}
