"""Object detection: boxes with classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewer.core.config import Section, Share
from fewer.tasks.detect.by_class import by_class
from fewer.tasks.detect.groups import groups
from fewer.tasks.detect.metadata import EVALUATION_KEYS, Metadata, Most, Overlap
from fewer.tasks.detect.metrics import METRICS, PRIMARY, STEP_METRICS, VALIDATION_METRICS, metric_names

if TYPE_CHECKING:
    import torch

    from fewer.core.metadata import TaskSetting
    from fewer.tasks.detect.task import Detect

__all__ = [
    "ANNOTATIONS",
    "EVALUATION_KEYS",
    "METRICS",
    "OWN_SIDES_PX",
    "PRIMARY",
    "SIDE_STEP_PX",
    "STEP_METRICS",
    "VALIDATION_METRICS",
    "Metadata",
    "Params",
    "build",
    "by_class",
    "groups",
    "metric_names",
    "plain",
    "restored",
]

ANNOTATIONS, OWN_SIDES_PX, SIDE_STEP_PX = "boxes", (160, 640), 32


class Params(Section):
    score_threshold: Share = 0.01
    """Boxes of a lower score are not evaluated."""
    nms_iou: Overlap | None = None
    """Of two boxes of one class that overlap by more (IoU), the surer one is kept; left out: the model's own value."""
    detections_max: Most = 100
    """Boxes of an image that are evaluated, at most: 100 by COCO's rules."""
    shown_score: Share = 0.3
    """Boxes of a lower score are not shown: in predictions, in pictures, in lists."""


def build(params: Params, setting: TaskSetting) -> Detect:
    """The task of a recipe."""
    from fewer.tasks.detect.task import Detect

    about = Metadata(classes=setting.classes, aspect=setting.aspect, **params.model_dump(exclude={"name"}))
    return Detect(about, setting.autocast)


def plain(classes: Sequence[str], aspect: float = 1.0) -> Detect:
    """The task with default settings."""
    from fewer.tasks.detect.task import Detect

    return Detect(Metadata(classes=tuple(classes), aspect=aspect))


def restored(metadata: Metadata, autocast: torch.dtype | None) -> Detect:
    """The task of a published model.

    Args:
        metadata: Its part of `model.json`.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
    """
    from fewer.tasks.detect.task import Detect

    return Detect(metadata, autocast)
