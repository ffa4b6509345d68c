"""The metrics of a classifier, from its confusion matrix.

C: classes; a matrix's rows are true classes, its columns predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fewer.core.evaluation import LOSS, Metric
from fewer.tasks.classify import shots

if TYPE_CHECKING:
    from torch import Tensor

PRIMARY = Metric("top1", "top-1", counts_images=True)
MACRO_F1 = Metric("macro_f1", "macro-F1")
STEP_METRICS = (PRIMARY,)
VALIDATION_METRICS = (PRIMARY, MACRO_F1, LOSS)
METRICS = (
    PRIMARY,
    Metric("top5", "top-5", counts_images=True),
    LOSS,
    MACRO_F1,
    Metric("balanced_accuracy", "balanced accuracy"),
    *(Metric(f"{name}_shot", f"{name}-shot") for name in shots.NAMES),
)

_TOP = 5  # classes: of no more than these, one of the five most probable is always right


def metric_names(images_C: Sequence[int]) -> tuple[str, ...]:
    """Names of the metrics that an evaluation may have, by the training images of each class."""
    by_shots = ("balanced_accuracy", *(f"{name}_shot" for name in shots.groups(images_C)))
    top5 = () if 0 < len(images_C) <= _TOP else ("top5",)
    return ("top1", *top5, "loss", "macro_f1", *(by_shots if shots.is_imbalanced(images_C) else ()))


def scalars(confusion_CC: Tensor, loss: float, in_top5: float, images_C: Sequence[int]) -> dict[str, float]:
    """Metrics by name.

    Args:
        confusion_CC: Counts, float64.
        loss: Sum of the losses.
        in_top5: Number of samples whose class is among the five most probable.
        images_C: Training images of every class; empty where they are not known.
    """
    count = float(confusion_CC.sum().clamp(min=1))
    right_C, true_C, said_C = confusion_CC.diagonal(), confusion_CC.sum(1), confusion_CC.sum(0)
    present_C = true_C > 0
    # F1 = 2 TP / (TP + FN + TP + FP); the mean is over the classes that occur in the set.
    f1_C = 2 * right_C / (true_C + said_C).clamp(min=1)
    return {
        "top1": float(right_C.sum()) / count,
        **({"top5": in_top5 / count} if len(confusion_CC) > _TOP else {}),
        "loss": loss / count,
        "macro_f1": float(f1_C[present_C].mean()) if present_C.any() else 0.0,
        **_by_shots(_accuracy(confusion_CC), images_C),
    }


def tables(confusion_CC: Tensor) -> dict[str, Any]:
    """The confusion matrix, and the accuracy of every class; None for a class without samples."""
    return {
        "confusion": confusion_CC.long().tolist(),
        "per_class_accuracy": [None if value != value else value for value in _accuracy(confusion_CC).tolist()],
    }


def _accuracy(confusion_CC: Tensor) -> Tensor:
    """Share of each class's samples that are predicted correctly; NaN for a class without samples."""
    true_C = confusion_CC.sum(1)
    accuracy_C: Tensor = (confusion_CC.diagonal() / true_C.clamp(min=1)).masked_fill(true_C == 0, float("nan"))
    return accuracy_C


def _by_shots(accuracy_C: Tensor, images_C: Sequence[int]) -> dict[str, float]:
    """Mean accuracy over all classes, and over those of each group; classes and groups without images are left out."""
    if not shots.is_imbalanced(images_C):
        return {}
    means = {"balanced_accuracy": accuracy_C.nanmean()}
    means |= {f"{name}_shot": accuracy_C[index].nanmean() for name, index in shots.groups(images_C).items()}
    return {name: float(mean) for name, mean in means.items() if not mean.isnan()}
