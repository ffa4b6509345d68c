"""The objects that the images of a source are annotated with, as boxes, in flat arrays.

A: objects of all images. N: images of the source. K: objects of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fewer.core.annotation_keys import Difficult

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ObjectTable:
    """Boxes with their classes, an image's behind that of the image before it.

    Attributes:
        first_N1: Where the objects of each image begin, and where the last one's end, int64 (N + 1).
        box_A4: Left, top, right and bottom in pixels of the upright picture, whose top left corner is (0, 0) and whose
            bottom right one is (width, height).
        class_A: Class of each object, from 0.
        crowd_A: Which of them are regions of many objects: nobody is trained on them, and detections there count as
            neither right nor wrong.
        difficult_A: Which of them VOC calls difficult.
        area_A: The object's own area in pixels, by which it is small, medium or large; else that of its box.
        difficult: What becomes of difficult ones. "train": they are trained on and, in evaluation, ignored: one that is
            not found is not missed, and a detection of it is not wrong. "ignore": they are ignored in evaluation and
            not trained on. "use": they are objects like any other.
    """

    first_N1: Ints
    box_A4: Floats
    class_A: Ints
    crowd_A: Flags
    difficult_A: Flags
    area_A: Floats
    difficult: Difficult = "train"

    @classmethod
    def of(cls, images: Sequence[tuple[Sequence[Sequence[float]], Sequence[int]]]) -> ObjectTable:
        """A table of plain boxes: for each image its boxes and their classes."""
        first_N1 = np.cumsum([0, *(len(classes) for _, classes in images)]).astype(np.int64)
        box_A4 = np.array([box for boxes, _ in images for box in boxes], np.float64).reshape(-1, 4)
        class_A = np.array([each for _, classes in images for each in classes], np.int64)
        none_A = np.zeros(len(class_A), np.bool_)
        area_A = (box_A4[:, 2] - box_A4[:, 0]) * (box_A4[:, 3] - box_A4[:, 1])
        return cls(first_N1, box_A4, class_A, none_A, none_A.copy(), area_A)

    def __len__(self) -> int:
        return len(self.first_N1) - 1

    def image(self, id: int) -> slice:
        """Where an image's objects are."""
        return slice(int(self.first_N1[id]), int(self.first_N1[id + 1]))

    @property
    def image_A(self) -> Ints:
        """The image of each object."""
        return np.repeat(np.arange(len(self)), np.diff(self.first_N1))

    @cached_property
    def trained_A(self) -> Flags:
        """Which objects are trained on."""
        return ~self.crowd_A & ~self.difficult_A if self.difficult == "ignore" else ~self.crowd_A

    @cached_property
    def ignored_A(self) -> Flags:
        """Which objects, besides crowds, are ignored in evaluation because they are difficult."""
        return np.zeros_like(self.difficult_A) if self.difficult == "use" else self.difficult_A & ~self.crowd_A

    @property
    def count_N(self) -> Ints:
        """How many objects each image has that are trained on."""
        return np.bincount(self.image_A[self.trained_A], minlength=len(self)).astype(np.int64)

    def only(self, kept_A: Flags) -> ObjectTable:
        """The table of the objects that a mask names; images keep their places."""
        counts_N = np.bincount(self.image_A[kept_A], minlength=len(self))
        return self._rows(kept_A, counts_N)

    def of_images(self, ids: Ints) -> ObjectTable:
        """The table of some images, in this order."""
        rows = [np.arange(self.first_N1[id], self.first_N1[id + 1]) for id in ids.tolist()]
        return self._rows(np.concatenate(rows), np.diff(self.first_N1)[ids])

    def _rows(self, rows: Flags | Ints, counts_N: Ints) -> ObjectTable:
        """The table of some objects, so many an image."""
        return replace(
            self,
            first_N1=np.concatenate([[0], np.cumsum(counts_N)]).astype(np.int64),
            box_A4=self.box_A4[rows],
            class_A=self.class_A[rows],
            crowd_A=self.crowd_A[rows],
            difficult_A=self.difficult_A[rows],
            area_A=self.area_A[rows],
        )
