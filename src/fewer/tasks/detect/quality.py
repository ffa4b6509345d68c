"""Precision and recall of each image, for selection by how well an image's objects are found.

K: objects or detections of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fewer.core.detection import Detected, Detections, Limits
from fewer.core.observation import Column

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.ragged import Sample
    from fewer.core.types import Batch

_IOU = 0.5
_LIMITS = Limits(0.25, None, 100)  # a usual score of detections that are shown


def image_precision_recall(output: Detected, batch: Batch, limits: Limits = _LIMITS) -> Tensor:
    """Precision and recall (B, 2), float64, of each image's detections at IoU 0.5, in the view that the model has seen.

    Where nothing is found, the precision is 0, and 1 if there is nothing to be found; where there is nothing to be
    found, the recall is 1.

    Args:
        output: Of the model, whatever its mode.
        batch: Its targets have the objects, as `boxes` and `labels`.
        limits: Which detections count.
    """
    pairs = zip(output.found(limits), batch.targets, strict=True)
    return torch.tensor([_of_image(found, target) for found, target in pairs], dtype=torch.float64).view(-1, 2)


def _of_image(found: Detections, target: Sample) -> tuple[float, float]:
    assert isinstance(target, dict)
    objects, detections = len(target["labels"]), len(found.label_K)
    if not objects:
        return float(not detections), 1.0
    if not detections:
        return 0.0, 0.0
    right = int(right_of(found, target["boxes"], target["labels"]).sum())
    return right / detections, right / objects


def right_of(found: Detections, box_K4: Tensor, label_K: Tensor) -> Tensor:
    """Which detections are right (K): each, the surest first, takes the free object of its class that it overlaps most.

    Args:
        found: Detections.
        box_K4: Objects, in the same pixels.
        label_K: Their classes.
    """
    from torchvision.ops import box_iou

    iou_DK = box_iou(found.box_K4.double().cpu(), box_K4.double().cpu())
    iou_DK[found.label_K.cpu()[:, None] != label_K.cpu()] = 0
    right = torch.zeros(len(iou_DK), dtype=torch.bool)
    for place, score in enumerate(iou_DK.unbind(0)):
        best, taken = score.max(0)
        if best >= _IOU:
            right[place] = True
            iou_DK[:, taken] = 0
    return right


def _precision(output: Detected, batch: Batch) -> Tensor:
    return image_precision_recall(output, batch)[:, 0]


def _recall(output: Detected, batch: Batch) -> Tensor:
    return image_precision_recall(output, batch)[:, 1]


COLUMNS = {"precision": Column("precision", _precision), "recall": Column("recall", _recall)}
