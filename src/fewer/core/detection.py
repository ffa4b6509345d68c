"""Outputs of detectors, in the form that the task takes from every architecture.

B: images of a batch. K: boxes of an image, (left, top, right, bottom) in pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CLASS_PART, BOX_PART = "class", "box"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what a detector reports of an image.

    Attributes:
        score: Boxes of a lower score are left out.
        nms_iou: Of two boxes of one class that overlap by more (IoU), the one of lower score is left out; None: the
            architecture's own value.
        most: Boxes of an image, at most.
    """

    score: float
    nms_iou: float | None
    most: int


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes found in one image, the highest score first.

    Attributes:
        box_K4: In pixels of the frame.
        label_K: Their classes from 0, int64.
        score_K: In [0, 1].
    """

    box_K4: Tensor
    label_K: Tensor
    score_K: Tensor


@dataclass(frozen=True, slots=True)
class Detected:
    """What a detector says of a batch.

    Attributes:
        classes: How many classes it tells apart.
        find: Computes the boxes of each image within some limits, without gradient; `found` asks it once.
        loss_sum_B: The sum of the losses of each image in two parts, `class` and `box`, with graph; empty where no
            targets were given.
        count_B: How many losses those sums hold, int64.
        sure_B: The mean probability of the true class where the image has objects; where it has none, 1 less the
            highest probability of any class. Without graph.
    """

    classes: int
    find: Callable[[Limits], list[Detections]]
    loss_sum_B: Mapping[str, Tensor] = field(default_factory=dict)
    count_B: Tensor | None = None
    sure_B: Tensor | None = None
    _known: dict[Limits, list[Detections]] = field(default_factory=dict)

    def found(self, limits: Limits) -> list[Detections]:
        """The boxes of each image within some limits."""
        if limits not in self._known:
            self._known[limits] = self.find(limits)
        return self._known[limits]
