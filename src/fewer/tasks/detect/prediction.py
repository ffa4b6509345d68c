"""The predictions of a detector: boxes with classes and scores, in pixels of the picture itself.

K: boxes of an image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from fewer.core.errors import printable
from fewer.core.types import Caption

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fewer.core.detection import Detections
    from fewer.core.ragged import Sample

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Objects:
    """What is found in an image.

    Attributes:
        size: Width and height of the upright picture in pixels.
        found: Class, score and box (left, top, right, bottom in pixels of the picture), the surest first.
    """

    size: tuple[int, int]
    found: tuple[tuple[int, float, Box], ...]


def in_picture(detections: Detections, target: Sample) -> Tensor:
    """Rows of class, left, top, right, bottom and score (K, 6), float64, in pixels of the picture, cut to it.

    Args:
        detections: In pixels of the frame.
        target: `size` and `to_picture` of the image, as evaluation views have them.
    """
    import torch

    assert isinstance(target, dict)
    box_K4 = detections.box_K4.double()
    factor_x, shift_x, factor_y, shift_y = target["to_picture"].to(box_K4).unbind()
    width, height = target["size"].to(box_K4).unbind()
    x_K2 = (box_K4[:, 0::2] * factor_x + shift_x).clamp(min=0).minimum(width)
    y_K2 = (box_K4[:, 1::2] * factor_y + shift_y).clamp(min=0).minimum(height)
    columns = (detections.label_K, x_K2[:, 0], y_K2[:, 0], x_K2[:, 1], y_K2[:, 1], detections.score_K)
    return torch.stack([column.double() for column in columns], dim=1)


def objects_of(row_K6: Tensor, target: Sample) -> Objects:
    """An image's prediction from its rows; arguments as of `in_picture`."""
    assert isinstance(target, dict)
    width, height = target["size"].tolist()
    found = tuple((int(label), score, (x0, y0, x1, y1)) for label, x0, y0, x1, y1, score in row_K6.tolist())
    return Objects((width, height), found)


@final
class BoxFormat:
    """Writes and draws the boxes of an image.

    Args:
        classes: Names of the classes.
    """

    columns = ("objects", "found")

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes

    def text(self, prediction: Objects) -> str:
        counts = Counter(label for label, _, _ in prediction.found)
        best = {label: score for label, score, _ in reversed(prediction.found)}
        parts = [
            f"{count} {printable(self.classes[label])} ({best[label]:.0%})" for label, count in sorted(counts.items())
        ]
        return ", ".join(parts) or "nothing"

    def json(self, prediction: Objects) -> dict[str, Any]:
        """`width` and `height`, and `objects` with `class`, `score` and COCO's `bbox`: left, top, width, height."""
        width, height = prediction.size
        found = [
            {"class": self.classes[label], "score": round(score, 5), "bbox": _sides(box)}
            for label, score, box in prediction.found
        ]
        return {"width": width, "height": height, "objects": found}

    def cells(self, prediction: Objects) -> list[str]:
        """How many boxes there are; then of each its class, score, left, top, width and height, `; ` between two."""
        written = (
            " ".join([self.classes[label], f"{score:.4f}", *map(str, _sides(box))])
            for label, score, box in prediction.found
        )
        return [str(len(prediction.found)), "; ".join(written)]

    def draw(self, thumbnail: Image, prediction: Objects) -> Caption:
        from fewer.core.drawing.boxes import Marked, draw_boxes

        marked = [Marked(box, label, self.classes[label], score) for label, score, box in prediction.found]
        draw_boxes(thumbnail, marked, prediction.size)
        if not prediction.found:
            return Caption("nothing", 0, 0.0)
        label, score, _ = prediction.found[0]
        count = len(prediction.found)
        return Caption(self.classes[label] if count == 1 else f"{count} objects", count, min(1.0, max(0.0, score)))

    def mask(self, prediction: Objects) -> None:
        return None


def _sides(box: Box) -> list[float]:
    left, top, right, bottom = box
    return [round(each, 2) for each in (left, top, right - left, bottom - top)]
