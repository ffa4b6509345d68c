"""The metadata of a published detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewer.core.config import Share
from fewer.core.metadata import TaskMetadata

EVALUATION_KEYS = ("score_threshold", "nms_iou", "detections_max", "shown_score")

Overlap = Annotated[Share, Field(gt=0)]
Most = Annotated[int, Field(ge=1, le=10_000, strict=True)]


class Metadata(TaskMetadata):
    """`task` in `model.json` of a detector; keys as in a recipe's `[task]`.

    Attributes:
        score_threshold: Boxes of a lower score are not evaluated.
        nms_iou: Overlap of two boxes of one class of which one is left out; None: the architecture's own.
        detections_max: Boxes of an image that are evaluated, at most.
        shown_score: Boxes of a lower score are not shown.
        aspect: Width / height of the frame that pictures are fitted to.
    """

    name: Literal["detect"] = "detect"
    score_threshold: Share = 0.01
    nms_iou: Overlap | None = None
    detections_max: Most = 100
    shown_score: Share = 0.3
    aspect: Annotated[float, Field(gt=0.02, lt=50, allow_inf_nan=False)] = 1.0
