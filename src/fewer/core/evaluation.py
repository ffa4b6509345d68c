"""Evaluations: which a run makes, what they give, and how to read a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

WORST_SAMPLES = 64  # that an evaluation lists, at most


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that tells how good a model is, and how to read it.

    Attributes:
        name: Its key in files, such as `top1`.
        label: Its name as the field writes it, such as `top-1`.
        higher_is_better: Its direction; False for losses and errors.
        is_share: It lies in [0, 1], and is shown as a percentage.
        counts_images: It is the share of the images that are right: their number tells how exactly it is known.
    """

    name: str
    label: str
    higher_is_better: bool = True
    is_share: bool = True
    counts_images: bool = False

    @property
    def sign(self) -> int:
        """Factor that makes more better: 1, or -1 where less is better."""
        return 1 if self.higher_is_better else -1

    @property
    def worst(self) -> float:
        """What any value is better than."""
        return -self.sign * math.inf

    def no_worse(self, value: float, other: float) -> bool:
        """Whether a value is at least as good as another."""
        return self.sign * value >= self.sign * other

    def text(self, value: float, digits: int = 2) -> str:
        """The value in words: `93.10%`, or four digits of what is no share."""
        return f"{value:.{digits}%}" if self.is_share else f"{value:.4f}"


def interval(share: float, images: int) -> tuple[float, float]:
    """The 95 % interval of a share of images that are right: what other images of the same kind could have given.

    Wilson's interval (1927, "Probable inference, the law of succession, and statistical inference"), which holds for
    few images and for shares near 0 and 1, too.

    Args:
        share: Of the images that were counted.
        images: How many these were, 1 at least.
    """
    z = 1.959964
    centre = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    return max(0.0, centre - half), min(1.0, centre + half)


LOSS = Metric("loss", "loss", higher_is_better=False, is_share=False)  # the one metric that every task has


@dataclass(frozen=True, slots=True)
class Evaluate:
    """One evaluation that a run makes: which model, on which images, and when.

    Attributes:
        name: What its rows and metrics are called, such as `val` or `test/raw`.
        split: The images.
        model: The model of the moment, the best so far, or the last.
        weights: Averaged where the run averages them, or raw.
        statistics: BatchNorm's statistics as training left them, or estimated again where that is called for.
        side_px: Height and width of the images; None: the evaluation side of the stage that was trained last.
        every: Epochs between two; 0: once, at the end.
    """

    name: str
    split: Literal["val", "test"]
    model: Literal["current", "best", "last"] = "current"
    weights: Literal["averaged", "raw"] = "averaged"
    statistics: Literal["running", "reestimated"] = "reestimated"
    side_px: int | None = None
    every: int = 0


@dataclass(frozen=True, slots=True)
class WorstSample:
    """A sample with a high loss.

    Attributes:
        id: Its id.
        loss: Its loss.
        detail: What the task has to say of it: keys and values that JSON can hold, such as the class predicted.
    """

    id: int
    loss: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Exact metrics of a model on a set, equal on every rank.

    Attributes:
        scalars: Metric name to value, such as `top1`.
        tables: Metric name to nested lists, such as `confusion` (rows: true class).
        worst: The samples with the highest loss, worst first.
    """

    scalars: dict[str, float]
    tables: dict[str, Any] = field(default_factory=dict)
    worst: list[WorstSample] = field(default_factory=list)

    def named(self, split: str, names: Sequence[str]) -> tuple[dict[str, float], dict[str, Any]]:
        """Metrics and tables as files hold them.

        Args:
            split: Which images these were: the keys begin with it.
            names: The path of every id in the source.
        """
        tables = {
            **self.tables,
            "worst": [names[sample.id] for sample in self.worst],
            "worst_samples": [{"id": sample.id, "loss": sample.loss, **sample.detail} for sample in self.worst],
        }
        metrics = {f"{split}/{key}": value for key, value in self.scalars.items()}
        return metrics, {f"{split}/{key}": value for key, value in tables.items()}
