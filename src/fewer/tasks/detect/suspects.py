"""Annotated boxes that a detector speaks against, and objects that it finds where no box is.

D: detections of an image. K: its annotated boxes, crowds left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.suspicion import Suspicion

if TYPE_CHECKING:
    from torch import Tensor

SURE = 0.7  # score from which a detection speaks against an annotation
FAINT = 0.05  # score from which a detection speaks for one
_APART, _SAME = 0.1, 0.5  # IoU below which two boxes are of different objects, and from which of one
_IN_CROWD = 0.5  # share of a detection's area within a crowd
_DOUBT = 0.7  # factor on what speaks against a box that nothing is found at: it comes behind what a score speaks for
_KNOWN = 0.7  # share of the boxes of a class that a model finds which knows the class
_DOUBTFUL = "doubtful box"
_LABEL, _SCORE = 0, 5  # columns of a detection
Corners = tuple[float, float, float, float]


class Suspected:
    """Suspicions on images that are looked at one after another.

    - "missing box": a sure detection that no annotated box overlaps, of whatever class, and no crowd.
    - "box of another class": a sure detection of another class lies on an annotated box, and none of its own class;
      nor does the detection lie on a box of the class that it says.
    - "doubtful box": nothing is found at an annotated box, not even faintly. How much this says depends on how many of
      the image's other boxes are found. A model speaks of boxes of a class only if it finds most of these.

    Boxes that are ignored because they are difficult are not suspected.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._suspicions: list[Suspicion] = []
        self._boxes_C, self._found_C = [0] * classes, [0] * classes

    def add(self, id: int, detection_D6: Tensor, target: dict[str, Tensor]) -> None:
        """Looks at an image.

        Args:
            id: The image.
            detection_D6: Class, left, top, right, bottom and score, in pixels of the picture, from a score of `FAINT`
                on.
            target: `own_boxes`, `own_labels`, `own_crowd` and `own_ignored`, as evaluation views have them.
        """
        from torchvision.ops import box_iou

        box_D4, label_D, score_D = detection_D6[:, 1:5], detection_D6[:, _LABEL].long(), detection_D6[:, _SCORE]
        crowd, box_K4 = target["own_crowd"].cpu(), target["own_boxes"].cpu().to(box_D4)
        crowd_4, box_K4, label_K = box_K4[crowd], box_K4[~crowd], target["own_labels"].cpu()[~crowd]
        judged_K = ~target["own_ignored"].cpu()[~crowd]
        iou_DK = box_iou(box_D4, box_K4)
        sure_D, own_DK = score_D > SURE, label_D[:, None] == label_K
        touched_D = (iou_DK >= _APART).any(1)
        for at in (sure_D & ~touched_D & ~_within(box_D4, crowd_4)).nonzero()[:, 0].tolist():
            box = _corners(box_D4[at])
            self._suspicions.append(Suspicion(id, "missing box", None, int(label_D[at]), float(score_D[at]), box))
        on_DK = iou_DK >= _SAME
        confirmed_K, seen_K = (on_DK & own_DK).any(0), (iou_DK >= _APART).any(0)
        unexplained_D = sure_D & ~(on_DK & own_DK).any(1)
        others, sure_of = max(1, int(judged_K.sum()) - 1), float((confirmed_K & judged_K).sum())
        for at in judged_K.nonzero()[:, 0].tolist():
            box_4, label = box_K4[at], int(label_K[at])
            self._boxes_C[label] += 1
            self._found_C[label] += bool(confirmed_K[at])
            others_D = on_DK[:, at] & ~own_DK[:, at] & unexplained_D
            if others_D.any() and not confirmed_K[at]:
                best = int(score_D.masked_fill(~others_D, -1).argmax())
                said, score = int(label_D[best]), float(score_D[best])
                self._suspicions.append(Suspicion(id, "box of another class", label, said, score, _corners(box_4)))
            elif not seen_K[at]:
                sure = _DOUBT * sure_of / others
                self._suspicions.append(Suspicion(id, _DOUBTFUL, label, None, sure, _corners(box_4)))

    def found(self) -> list[Suspicion]:
        """What is suspected of all images; nothing is doubtful of a class that the model does not know."""
        known = [found >= _KNOWN * boxes for found, boxes in zip(self._found_C, self._boxes_C, strict=True)]
        return [each for each in self._suspicions if each.predicted is not None or known[each.annotated or 0]]


def _within(box_D4: Tensor, crowd_4: Tensor) -> Tensor:
    """Which boxes lie in a crowd for the most part."""
    low, high = box_D4[:, None, :2].maximum(crowd_4[:, :2]), box_D4[:, None, 2:].minimum(crowd_4[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    area_D1 = (box_D4[:, 2:] - box_D4[:, :2]).prod(1, keepdim=True).clamp(min=1e-9)
    return (shared / area_D1 > _IN_CROWD).any(1)


def _corners(box_4: Tensor) -> Corners:
    left, top, right, bottom = box_4.tolist()
    return left, top, right, bottom
