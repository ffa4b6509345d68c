"""Boxes and masks of an inventory: what the files of a split are annotated with, and what is wrong with it.

A: objects. C: classes. K: objects of one image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fewer.core.drawing.palette import VOID
from fewer.core.objects import ObjectTable
from fewer.data.annotations.boxes import edges
from fewer.data.annotations.faults import Fault
from fewer.data.annotations.mask_values import MaskError
from fewer.data.reading.annotated import BoxSource, MaskSource
from fewer.data.reading.source import Source
from fewer.inspection.findings import Finding

SAME_IOU = 0.95  # of two boxes of one class that are one object annotated twice
_THREADS = 4
_MATRIX_MAX = 256  # boxes of an image that are compared all at once
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BoxPart:
    """The boxes of the images of a split.

    Attributes:
        classes: Names of the classes.
        objects: The boxes of all images of the source.
        ids: Ids of the images of the split, in its order.
        size_N2: Width and height of every image of the source.
    """

    classes: list[str]
    objects: ObjectTable
    ids: list[int]
    size_N2: Ints

    @cached_property
    def own_A(self) -> npt.NDArray[np.bool_]:
        """Which objects of the source lie in this split."""
        inside_N = np.zeros(len(self.objects), np.bool_)
        inside_N[self.ids] = True
        return inside_N[self.objects.image_A]

    @property
    def is_ignored(self) -> bool:
        """Whether there are difficult objects, and no other object counts in evaluation."""
        ignored_A = self.objects.ignored_A[self.own_A]
        return bool(ignored_A.any() and (ignored_A | self.objects.crowd_A[self.own_A]).all())

    def class_objects(self) -> Counter[str]:
        """How many objects of each class there are."""
        counts_C = np.bincount(self.objects.class_A[self.own_A], minlength=len(self.classes))
        return Counter(dict(zip(self.classes, counts_C.tolist(), strict=True)))

    @cached_property
    def shows_NC(self) -> npt.NDArray[np.bool_]:
        """Which classes each image shows, in the order of `ids`."""
        shows_NC = np.zeros((len(self.objects), len(self.classes)), np.bool_)
        shows_NC[self.objects.image_A, self.objects.class_A] = True
        return shows_NC[self.ids]


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """Facts of one mask.

    Attributes:
        pixels_C: Pixels of each class, int64 (C).
        void: Pixels that are void.
        code, reason: Why it cannot be used, as a code of `fewer.inspection.findings.KINDS`; empty if it can.
    """

    pixels_C: Ints
    void: int = 0
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class MaskPart:
    """The masks of the images of a split.

    Attributes:
        classes: Names of the classes.
        read: Gives the mask of an image by its position in the split.
        count: How many images there are.
    """

    classes: list[str]
    read: Callable[[int], npt.NDArray[np.uint8]]
    count: int

    @cached_property
    def facts(self) -> list[MaskFacts]:
        """Facts of all masks, each read once."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self._facts, range(self.count)))

    def _facts(self, at: int) -> MaskFacts:
        try:
            mask = self.read(at)
        except MaskError as error:
            return MaskFacts(np.zeros(len(self.classes), np.int64), 0, error.code, error.reason)
        count = np.bincount(mask.ravel(), minlength=VOID + 1)
        return MaskFacts(count[: len(self.classes)].astype(np.int64), int(count[VOID]))

    @cached_property
    def shows_NC(self) -> npt.NDArray[np.bool_]:
        """Which classes each image shows."""
        return np.array([facts.pixels_C > 0 for facts in self.facts], np.bool_).reshape(-1, len(self.classes))

    def class_pixels(self) -> Ints:
        """How many pixels of each class there are, int64 (C)."""
        pixels_C: Ints = np.sum([facts.pixels_C for facts in self.facts], axis=0, dtype=np.int64)
        return pixels_C


def annotated(source: Source, ids: Sequence[int]) -> BoxPart | MaskPart | None:
    """What some images of a source are annotated with; None where that is a class each."""
    if isinstance(source, BoxSource):
        return BoxPart(source.classes, source.objects, list(ids), source.found.size_N2)
    if isinstance(source, MaskSource):
        return MaskPart(source.classes, lambda at: source.read_mask(ids[at]), len(ids))
    return None


def faults_of(faults: Iterable[Fault], text: str, split_of: Mapping[str, str]) -> list[Finding]:
    """The findings of a listing, each under the split of the image that it names.

    Args:
        faults: What is wrong.
        text: The source.
        split_of: The split of each image, by its path.
    """
    return [Finding(each.code, split_of.get(each.path, ""), each.path, each.reason, text) for each in faults]


def class_images(part: BoxPart | MaskPart) -> Counter[str]:
    """How many images show each class; those that no image shows are not there."""
    counts_C = part.shows_NC.sum(axis=0)
    return Counter({name: count for name, count in zip(part.classes, counts_C.tolist(), strict=True) if count})


def twins(part: BoxPart) -> Iterator[tuple[int, str]]:
    """Positions in the split of images in which an object is annotated twice, and which, a pair each.

    Two boxes of one class are one object where their intersection over union is above `SAME_IOU`. Crowds are left out.
    """
    table = part.objects
    for at, id in enumerate(part.ids):
        here = table.image(id)
        alone_K = ~table.crowd_A[here]
        box_K4, class_K = table.box_A4[here][alone_K], table.class_A[here][alone_K]
        for one, other in _pairs(box_K4, class_K):
            name = part.classes[int(class_K[one])]
            yield at, f"{name!r} twice: boxes {edges(box_K4[one])} and {edges(box_K4[other])}"


def _pairs(box_K4: npt.NDArray[np.float64], class_K: Ints) -> Iterator[tuple[int, int]]:
    step = max(1, _MATRIX_MAX * _MATRIX_MAX // max(1, len(box_K4)))
    for start in range(0, len(box_K4), step):
        rows = slice(start, start + step)
        low = np.maximum(box_K4[rows, None, :2], box_K4[None, :, :2])
        high = np.minimum(box_K4[rows, None, 2:], box_K4[None, :, 2:])
        shared = (high - low).clip(0).prod(axis=2)
        area_K = (box_K4[:, 2:] - box_K4[:, :2]).prod(axis=1)
        iou = shared / (area_K[rows, None] + area_K[None, :] - shared)
        same = (iou > SAME_IOU) & (class_K[rows, None] == class_K[None, :])
        for one, other in zip(*(each.tolist() for each in np.nonzero(same)), strict=True):
            if one + start < other:
                yield one + start, other
