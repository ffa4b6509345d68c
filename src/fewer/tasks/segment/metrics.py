"""The metrics of segmentation, from one confusion matrix over the pixels of a whole set.

Pixels whose label is void (255) are not counted. The IoU of a class is |P T| / (|P| + |T| - |P T|), P being the pixels
that are predicted as it and T those that are it; the mean is over the classes that are predicted or there at all, so
that a class that the set lacks is left out unless it is predicted. Matrices are never averaged over images or batches.

C: classes; a matrix's rows are true classes, its columns predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fewer.core.evaluation import LOSS, Metric

if TYPE_CHECKING:
    from torch import Tensor

PRIMARY = Metric("miou", "mIoU")
PIXEL_ACCURACY = Metric("pixel_accuracy", "pixel accuracy")
STEP_METRICS = (PIXEL_ACCURACY,)
VALIDATION_METRICS = (PRIMARY, PIXEL_ACCURACY, LOSS)
METRICS = (
    PRIMARY,
    PIXEL_ACCURACY,
    LOSS,
    Metric("mean_accuracy", "mean class accuracy"),
    Metric("fw_iou", "frequency-weighted IoU"),
)
DEFINITIONS = {
    "miou": "mean IoU over the classes that are in the labels or predicted; pixels of the whole set, void left out",
    "pixel_accuracy": "share of the valid pixels that are right; of training steps the mean over images",
    "mean_accuracy": "mean over the classes in the labels of the share of their pixels that is right",
    "fw_iou": "mean IoU, each class weighted by its pixels in the labels",
    "loss": "cross-entropy, a mean over the valid pixels of the frames",
    "size": "predicted at the label's own size: logits interpolated bilinearly, then argmax",
}


def metric_names(images_C: Sequence[int]) -> tuple[str, ...]:
    """Names of the metrics that an evaluation may have, by the training images of each class."""
    return tuple(metric.name for metric in METRICS)


def scalars(confusion_CC: Tensor, loss: float, pixels: int) -> dict[str, float]:
    """Metrics by name; 0 where there is no valid pixel.

    Args:
        confusion_CC: Counts of pixels, int64.
        loss: Sum of the losses.
        pixels: How many pixels that sum is of.
    """
    right_C, true_C, _, union_C = _counts(confusion_CC)
    total = true_C.sum().clamp(min=1)
    iou_C, seen_C, there_C = right_C / union_C.clamp(min=1), union_C > 0, true_C > 0
    accuracy_C = right_C / true_C.clamp(min=1)
    return {
        "miou": float(iou_C[seen_C].mean()) if seen_C.any() else 0.0,
        "pixel_accuracy": float(right_C.sum() / total),
        "loss": loss / max(1, pixels),
        "mean_accuracy": float(accuracy_C[there_C].mean()) if there_C.any() else 0.0,
        "fw_iou": float((iou_C * true_C).sum() / total),
    }


def tables(confusion_CC: Tensor) -> dict[str, Any]:
    """The confusion matrix, IoU, accuracy and pixels of every class, None where not defined, and what all mean."""
    right_C, true_C, _, union_C = _counts(confusion_CC)
    return {
        "confusion": confusion_CC.tolist(),
        "per_class_iou": _shares(right_C, union_C),
        "per_class_accuracy": _shares(right_C, true_C),
        "per_class_pixels": confusion_CC.sum(1).tolist(),
        "definitions": DEFINITIONS,
    }


def image_miou(confusion_CC: Tensor) -> float:
    """Mean IoU within one image over the classes that are in its label or predicted; -1 without a valid pixel."""
    right_C, _, _, union_C = _counts(confusion_CC)
    seen_C = union_C > 0
    return float((right_C[seen_C] / union_C[seen_C]).mean()) if seen_C.any() else -1.0


def _counts(confusion_CC: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels of each class that are right, that are there, that are predicted, and the union of these, float64."""
    counts_CC = confusion_CC.double()
    right_C, true_C, said_C = counts_CC.diagonal(), counts_CC.sum(1), counts_CC.sum(0)
    return right_C, true_C, said_C, true_C + said_C - right_C


def _shares(part_C: Tensor, whole_C: Tensor) -> list[float | None]:
    pairs = zip(part_C.tolist(), whole_C.tolist(), strict=True)
    return [part / whole if whole else None for part, whole in pairs]
