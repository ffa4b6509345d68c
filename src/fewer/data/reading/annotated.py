"""Sources of images with boxes or masks, read from files where they lie.

A: objects. C: classes. N: all ids of the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.core.objects import ObjectTable
from fewer.data.annotations.boxes import Boxes
from fewer.data.annotations.mask_values import read_mask
from fewer.data.annotations.masks import Masks
from fewer.data.annotations.tree import Tree
from fewer.data.listing.layout import Arranged
from fewer.data.listing.string_array import Names
from fewer.data.reading.source import Source, Stamp

Labels = npt.NDArray[np.int64]


class _Files(Source):
    """Images below a folder, with what their files state."""

    def __init__(
        self,
        name: str,
        tree: Tree,
        names: Sequence[str],
        labels: Labels,
        classes: list[str],
        parts: dict[str, Labels],
        notes: list[str],
    ) -> None:
        columns = np.array([tree.files[path] for path in names], np.int64).reshape(-1, 2)
        notes = [*notes, *tree.left_out.notes]
        super().__init__(name, Arranged(Names(names), columns, classes, labels, parts, notes))
        self.left_out = tree.left_out
        self._root, self._modified_ns = tree.root, columns[:, 1]

    def _picked(self, name: str, ids: Labels, parts: dict[str, Labels]) -> Self:
        """Some of the images, in this order, split in another way."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        other.name, other.parts = name, parts
        other.names = Names(self.names[id] for id in ids.tolist())
        other.sizes, other.labels, other._modified_ns = self.sizes[ids], self.labels[ids], self._modified_ns[ids]
        return other

    def train_classes(self) -> list[str]:
        """All classes: which of them an image shows is no class of the image."""
        return self.classes

    def read(self, id: int) -> bytes:
        return Path(f"{self._root}/{self.names[id]}").read_bytes()

    def stamp(self, id: int) -> Stamp:
        return f"{self._root}/{self.names[id]}", int(self.sizes[id]), int(self._modified_ns[id])

    @property
    def location(self) -> str:
        return self._root


class BoxSource(_Files):
    """Images with boxes. The label of an image is the rarest class in it; of one without boxes the most frequent one.

    Attributes:
        objects: The boxes, in the order of ids.
        found: All that was read, faults included.
    """

    annotations = "boxes"
    objects: ObjectTable

    def __init__(self, name: str, found: Boxes) -> None:
        """Wraps what a reader found.

        Raises:
            DataError: Nobody can be trained on it.
        """
        found.require_sound(name)
        self.objects, self.found = found.objects, found
        labels = rarest(found.objects, len(found.classes))
        super().__init__(name, found.tree, found.names, labels, found.classes, found.parts, found.notes)

    def picked(self, name: str, ids: Labels, parts: dict[str, Labels]) -> BoxSource:
        """Some of the images with their boxes, in this order, split in another way.

        Args:
            name: Of the new source.
            ids: Which images.
            parts: Positions in `ids` of each split.
        """
        other = self._picked(name, ids, parts)
        other.objects = self.objects.of_images(ids)
        names, size_N2 = list(other.names), self.found.size_N2[ids]
        other.found = replace(self.found, names=names, objects=other.objects, size_N2=size_N2, parts=parts)
        return other

    def shown(self, ids: npt.NDArray[np.int64]) -> list[str]:
        seen = np.zeros(len(self), np.bool_)
        seen[ids] = True
        return [self.classes[i] for i in np.unique(self.objects.class_A[seen[self.objects.image_A]])]

    def annotation_digest(self, id: int) -> bytes:
        here, table = self.objects.image(id), self.objects
        columns = (table.box_A4, table.class_A, table.crowd_A, table.difficult_A, table.area_A)
        # What older versions read as objects like any other keeps its digest.
        meaning = b"" if table.difficult == "use" or not table.difficult_A[here].any() else table.difficult.encode()
        return b"".join(np.ascontiguousarray(column[here]).tobytes() for column in columns) + meaning

    def in_classes(self, classes: list[str], purpose: str) -> Source:
        if classes == self.classes:
            return self
        index_C = _translated(self, classes, purpose)
        other = object.__new__(BoxSource)
        other.__dict__ |= self.__dict__
        other.classes, other.labels = classes, index_C[self.labels]
        other.objects = replace(self.objects, class_A=index_C[self.objects.class_A])
        return other


class MaskSource(_Files):
    """Images with masks. Which classes an image shows is known only once its mask is read: all have the label 0.

    Attributes:
        found: All that was listed, faults included.
    """

    annotations = "masks"

    def __init__(self, name: str, found: Masks) -> None:
        self.found = found
        labels = np.zeros(len(found.names), np.int64)
        super().__init__(name, found.tree, found.names, labels, found.table.names, found.parts, found.notes)
        self._table = found.table

    def picked(self, name: str, ids: Labels, parts: dict[str, Labels]) -> MaskSource:
        """Some of the images with their masks; arguments as for `BoxSource.picked`."""
        other = self._picked(name, ids, parts)
        masks = [self.found.masks[id] for id in ids.tolist()]
        other.found = replace(self.found, names=list(other.names), masks=masks, parts=parts)
        return other

    def mask_stamp(self, id: int) -> Stamp:
        path = self.found.masks[id]
        return f"{self._root}/{path}", *self.found.tree.files[path]

    def mask_meaning(self) -> bytes:
        return self._table.digest()

    def read_mask(self, id: int) -> npt.NDArray[np.uint8]:
        return read_mask(f"{self._root}/{self.found.masks[id]}", self._table, f"{self._root}/{self.names[id]}")

    def shown(self, ids: npt.NDArray[np.int64]) -> list[str]:
        return self.classes

    def annotation_digest(self, id: int) -> bytes:
        try:
            content = Path(f"{self._root}/{self.found.masks[id]}").read_bytes()
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}; fix: make the mask readable") from error
        meaning = self._table.digest() if self._table.colour else self._table.value.tobytes()
        return hashlib.blake2b(content, digest_size=16).digest() + meaning

    def in_classes(self, classes: list[str], purpose: str) -> Source:
        if classes == self.classes:
            return self
        index_C = _translated(self, classes, purpose)
        other = object.__new__(MaskSource)
        other.__dict__ |= self.__dict__
        other.classes = classes
        other._table = self._table.translated(index_C, classes)
        return other


def rarest(objects: ObjectTable, classes: int) -> Labels:
    """The class of each image by which it is drawn: the one in it that the source has fewest objects of (N)."""
    counts_C = np.bincount(objects.class_A, minlength=classes)
    rank_C = np.empty(classes, np.int64)
    rank_C[np.argsort(counts_C, kind="stable")] = np.arange(classes)
    best_N = np.full(len(objects), classes - 1)
    np.minimum.at(best_N, objects.image_A, rank_C[objects.class_A])
    label_N: Labels = np.argsort(rank_C)[best_N]
    return label_N


def _translated(source: Source, classes: list[str], purpose: str) -> Labels:
    """The position of each class of a source among other classes.

    Raises:
        DataError: One of them is not there.
    """
    unknown = [name for name in source.classes if name not in classes]
    if unknown:
        raise DataError(
            f"{source.name}: class {unknown[0]!r} of the {purpose} set is unknown in training; allowed: "
            f"{', '.join(classes[:10])}; fix: name its classes as those of training"
        )
    return np.array([classes.index(name) for name in source.classes], np.int64)
