"""The answer of a ladder: from which budget on longer training brings no more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fewer import tasks
from fewer.core.evaluation import Metric
from fewer.recipe.schema import Recipe

_Z = 1.959964  # of a 95 % interval
_WORTH = 0.01  # a gain of less than a point is not worth the rest of the budget
Row = Mapping[str, Any]


def verdict(recipe: Recipe, rows: Sequence[Row], split: str) -> dict[str, Any]:
    """What decides, from where on no longer run shows a gain, and what that means, in words.

    A gain shows where it is more than the images can tell: the 95 % interval of the difference of two shares. That none
    shows means little where that interval is wide: longer training does not pay only if a gain of a point can be ruled
    out. Of a metric that counts no images nobody knows how exactly it is known: any gain shows.

    Args:
        recipe: What was trained.
        rows: The rungs, from short to long.
        split: "val" or "test": the images that judge.
    """
    metrics = {metric.name: metric for metric in tasks.module(recipe.task.name).METRICS}
    metric = next(iter(metrics.values())) if recipe.evaluate.best == "auto" else metrics[recipe.evaluate.best]
    key = f"{split}/{metric.name}"
    gains = [_gains(metric, key, rows, index) for index in range(len(rows) - 1)]
    flat = [all(gain <= noise for gain, noise in found) for found in gains]
    enough = flat.index(True) if True in flat else None
    return {
        "metric": key,
        "enough": None if enough is None else rows[enough]["budget"],
        "answer": _in_words(metric, "validation" if split == "val" else split, rows, enough, gains),
    }


def _gains(metric: Metric, key: str, rows: Sequence[Row], index: int) -> list[tuple[float, float]]:
    """What each longer run gains, and how much of that is no more than the images can tell."""
    here, found = rows[index], []
    for row in rows[index + 1 :]:
        gain = metric.sign * (row["metrics"][key] - here["metrics"][key])
        noise = math.hypot(_deviation(here, key), _deviation(row, key)) * _Z if metric.counts_images else 0.0
        found.append((gain, noise))
    return found


def _deviation(row: Row, key: str) -> float:
    """The standard deviation of a share, from its interval."""
    low, high = row["intervals"][key]
    return float(high - low) / (2 * _Z)


def _in_words(
    metric: Metric, images: str, rows: Sequence[Row], enough: int | None, gains: Sequence[list[tuple[float, float]]]
) -> str:
    if enough is None:
        pays = f"from {rows[-2]['budget']:g} to {rows[-1]['budget']:g} of the budget {_points(metric, *gains[-1][-1])}"
        return f"longer training pays up to the end: {pays} of {images} {metric.label} (one seed); try more epochs"
    row, most = rows[enough], max(gains[enough], key=sum)
    place = f"from {row['budget']:g} of the budget on ({row['epochs']} epochs, {row['full_epoch_equivalents']:.2f} FEE)"
    said = f"{_points(metric, *most)} of {images} {metric.label} (one seed)"
    if sum(most) <= _WORTH:
        return f"{place} longer training does not pay: it brings {said}"
    return f"{place} no gain of longer training shows, but these images cannot rule one out: {said}"


def _points(metric: Metric, gain: float, noise: float) -> str:
    scale, digits, unit = (100.0, 1, " points") if metric.is_share else (1.0, 4, "")
    margin = f" ± {scale * noise:.{digits}f}" if noise else ""
    return f"{scale * gain:+.{digits}f}{margin}{unit}"
