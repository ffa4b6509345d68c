"""The metrics of a detector: average precision as COCO defines it (Lin et al. 2014, arXiv 1405.0312; cocodataset.org).

A detection is right where it overlaps an object of its class, which no surer one has, by some IoU. Precision is taken
at 101 values of recall, as the highest at that recall or more; its mean is the average precision of a class. AP is the
mean over classes and over IoU 0.50, 0.55, ..., 0.95; AP50 and AP75 are those at one IoU. Small objects have less than
32 x 32 pixels of the picture, large ones more than 96 x 96.

C: classes. T: values of IoU. R: values of recall. A: ranges of area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fewer.core.evaluation import LOSS, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PRIMARY = Metric("ap", "AP")
AP50 = Metric("ap50", "AP50")
CLASS_LOSS = Metric("class_loss", "class loss", higher_is_better=False, is_share=False)
BOX_LOSS = Metric("box_loss", "box loss", higher_is_better=False, is_share=False)
STEP_METRICS = (CLASS_LOSS, BOX_LOSS)
VALIDATION_METRICS = (PRIMARY, AP50, LOSS)
METRICS = (
    PRIMARY,
    AP50,
    Metric("ap75", "AP75"),
    Metric("ap_small", "AP small"),
    Metric("ap_medium", "AP medium"),
    Metric("ap_large", "AP large"),
    LOSS,
    CLASS_LOSS,
    BOX_LOSS,
)
_OF_SIZES = ("ap_small", "ap_medium", "ap_large")
_IOU_50, _IOU_75 = 0, 5  # places among the values of IoU
_DIGITS = 5  # of a precision in a table


def metric_names(images_C: Sequence[int]) -> tuple[str, ...]:
    """The metrics that an evaluation may have; those of sizes only where there are objects of these."""
    return tuple(metric.name for metric in METRICS)


def scalars(precision_TRCA: npt.NDArray[np.float64]) -> dict[str, float]:
    """The average precisions that are defined; AP and AP50 always, 0 where there are no objects at all.

    Args:
        precision_TRCA: From `fewer.tasks.detect.coco.precision`.
    """
    of_all = precision_TRCA[..., 0]
    found = {
        "ap": _mean(of_all),
        "ap50": _mean(of_all[_IOU_50]),
        "ap75": _mean(of_all[_IOU_75]),
        **{name: _mean(precision_TRCA[..., area]) for area, name in enumerate(_OF_SIZES, 1)},
    }
    return {name: value for name, value in found.items() if value is not None} or {"ap": 0.0, "ap50": 0.0}


def tables(precision_TRCA: npt.NDArray[np.float64], objects_C: Sequence[int]) -> dict[str, Any]:
    """The evaluation class by class, and precision against recall.

    Returns:
        `per_class`: of each class its `objects`, and its `ap` and `ap50`, null where it has no objects.
        `precision_recall`: `recall`, and of each class the `precision` at IoU 0.5 there, null likewise.
    """
    of_all = precision_TRCA[..., 0]
    classes = range(of_all.shape[2])
    curves = [
        [round(float(each), _DIGITS) for each in of_all[_IOU_50, :, c]] if objects_C[c] else None for c in classes
    ]
    return {
        "per_class": {
            "objects": list(objects_C),
            "ap": [_mean(of_all[:, :, c]) for c in classes],
            "ap50": [_mean(of_all[_IOU_50, :, c]) for c in classes],
        },
        "precision_recall": {"recall": [round(0.01 * step, 2) for step in range(101)], "precision": curves},
    }


def _mean(precision: npt.NDArray[np.float64]) -> float | None:
    """The mean over what is defined; None where nothing is."""
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None


def per_class(tables: Mapping[str, Any]) -> list[tuple[int, int, float | None, float | None]]:
    """Class, objects, AP and AP50 of each class of an evaluation's tables."""
    found = tables["per_class"]
    numbers = zip(found["objects"], found["ap"], found["ap50"], strict=True)
    return [(index, *each) for index, each in enumerate(numbers)]
