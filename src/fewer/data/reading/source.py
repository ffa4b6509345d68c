"""The base of all sources: a listing of images with their classes, and the reading of their bytes.

N: all ids of the source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from fewer.core.annotation_keys import Difficult
from fewer.core.errors import DataError
from fewer.core.objects import ObjectTable
from fewer.data.decode.decode import Damaged, Pixels, size_px
from fewer.data.listing.layout import Arranged
from fewer.data.listing.left_out import LeftOut

Ids = Sequence[int] | npt.NDArray[np.int64]
Stamp = tuple[str, int, int]  # where the bytes lie, their size in bytes, when they were modified (ns since 1970)


class Source(ABC):
    """Images by id: the position in the source sorted by path, before any split.

    Attributes:
        name: The text that the user gave, such as `"tar:/data/train.tar"`.
        names: Path of every image inside the source, sorted; the position is the id.
        sizes: Bytes of every image, int64 (N).
        labels: Index into `classes` of every image, int64 (N).
        classes: Names of the classes: folders sorted, others in the order that the data has them.
        parts: Ids of `train`, `val` and `test` where the source is laid out that way; else empty.
        notes: What the user should know of the listing, a sentence each.
        left_out: What the listing came across and does not read.
        numbers_classes: Whether the data set itself numbers its classes, in the order of `classes`.
        annotations: What the images are annotated with: their "classes", "boxes", or "masks". Of boxes and masks, the
            label of an image is the class that it is drawn by where images are held out.
        objects: The annotated boxes, where there are such.
    """

    numbers_classes = False
    annotations: Literal["classes", "boxes", "masks"] = "classes"
    objects: ObjectTable | None = None

    def __init__(self, name: str, found: Arranged) -> None:
        self.name = name
        self.names: Sequence[str] = found.names
        self.sizes: npt.NDArray[np.int64] = found.columns[:, 0]
        self.labels: npt.NDArray[np.int64] = found.labels
        self.classes: list[str] = found.classes
        self.parts: dict[str, npt.NDArray[np.int64]] = found.parts
        self.notes: list[str] = found.notes
        self.left_out = LeftOut()

    def train_classes(self) -> list[str]:
        """Names of the classes of training images: those of the part `train`, or of all."""
        return [self.classes[i] for i in np.unique(self.labels[self.parts.get("train", slice(None))])]

    def shown(self, ids: npt.NDArray[np.int64]) -> list[str]:
        """Names of the classes that some images show, as far as that is known without reading them."""
        return [self.classes[i] for i in np.unique(self.labels[ids])]

    def in_classes(self, classes: list[str], purpose: str) -> Source:
        """The same images, their boxes or masks numbered as other classes are; nothing changes without such.

        Args:
            classes: Names of the classes, in the order of their numbers.
            purpose: What the images are for, in messages.

        Raises:
            DataError: A class is not among them.
        """
        return self

    def set_difficult(self, difficult: Difficult) -> None:
        """Says what becomes of objects that are marked as difficult; nothing changes without boxes."""
        if self.objects is not None:
            self.objects = replace(self.objects, difficult=difficult)

    def annotation_digest(self, id: int) -> bytes:
        """Bytes that change with what an image's boxes or mask say; none where images have classes alone.

        Raises:
            DataError: The annotation cannot be read.
        """
        return b""

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, id: int) -> bytes | Pixels:
        """The file's bytes, or the pixels themselves. Safe to call from several threads.

        Raises:
            OSError: The file is gone or cannot be read.
        """

    def file(self, id: int) -> bytes | Pixels:
        """As `read`, of the source itself even where images are read from a store."""
        return self.read(id)

    def read_mask(self, id: int) -> npt.NDArray[np.uint8]:
        """The mask of an image, where images are annotated so: class ids (H, W) of the upright picture, 255 is void.

        Raises:
            DataError: The mask cannot be read, or has ids that are no class.
        """
        raise NotImplementedError

    def mask_stamp(self, id: int) -> Stamp | None:
        """As `stamp`, of an image's mask: what is remembered of it is good for."""
        return None

    def mask_meaning(self) -> bytes:
        """Bytes that change with what the values of masks stand for."""
        return b""

    def stamp(self, id: int) -> Stamp | None:
        """What a cached hash of the image's bytes is good for; None where caching makes no sense."""
        return None

    @property
    def location(self) -> str:
        """The absolute path of the source, or its name where it has none."""
        return self.name

    def native_side_px(self, ids: Ids | None = None, sample: int = 16) -> int:
        """Median of the shorter sides of a few images spread over `ids` (all, if left out), by their headers.

        Raises:
            DataError: None of them is an image.
        """
        return int(np.median([min(size) for size in self._some_sizes(ids, sample)]))

    def native_frame(self, ids: Ids | None = None, sample: int = 16) -> tuple[int, float]:
        """Median of the longer sides of a few upright images, and of their width / height; arguments and errors as for
        `native_side_px`."""
        sizes = self._some_sizes(ids, sample)
        return int(np.median([max(size) for size in sizes])), float(np.median([wide / high for wide, high in sizes]))

    def _some_sizes(self, ids: Ids | None, sample: int) -> list[tuple[int, int]]:
        pool = np.arange(len(self)) if ids is None else np.asarray(ids)
        chosen = pool[np.linspace(0, len(pool) - 1, min(sample, len(pool))).astype(int)]
        sides = []
        for id in chosen.tolist():
            try:
                sides.append(size_px(self.read(id)))
            except (Damaged, OSError) as error:
                last = f"{self.names[id]}: {error}"
        if not sides:
            raise DataError(f"{self.name}: none of {len(chosen)} images tried can be read ({last}); fix: copy it again")
        return sides


def unreadable(name: str, what: str) -> DataError:
    """A source that cannot be listed at all."""
    return DataError(f"{name}: {what}; allowed: a readable folder or tar of class folders; fix: check path and rights")
