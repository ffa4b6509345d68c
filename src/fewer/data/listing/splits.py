"""The splits of a source: training, validation and test images.

M: ids of a split. N: all ids of its source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewer.core.annotation_keys import Strata
from fewer.core.errors import DataError
from fewer.core.text import quantity
from fewer.data.annotations.labels import LabelFile, overridden
from fewer.data.listing import fingerprint
from fewer.data.listing.difficult import note_difficult
from fewer.data.listing.manifest import Entries, Manifest
from fewer.data.listing.presence import strata_of
from fewer.data.listing.strata import drawn_by, held_out_share, stratified
from fewer.data.listing.subsample import LongTail, nothing_held_out, subset, thinned
from fewer.data.sources import Source, open_source

_TEST_SHARE, _VAL_SHARE = 0.2, 0.05


@dataclass(frozen=True)
class Split:
    """Some ids of a source, labelled with the classes of the training set.

    Attributes:
        source: Where the images come from.
        ids_M: Ids, int64, ascending.
        label_N: Class of every id of the source, int64; -1 where the id is not in this split.
        classes: Names of the classes; equal in all splits of a run.
    """

    source: Source
    ids_M: Tensor
    label_N: Tensor
    classes: list[str]

    def __len__(self) -> int:
        return len(self.ids_M)

    def without(self, ids: Tensor) -> Split:
        """This split less some of its ids, such as those of damaged images."""
        label_N = self.label_N.clone()
        label_N[ids] = -1
        return Split(self.source, self.ids_M[label_N[self.ids_M] >= 0], label_N, self.classes)

    def class_images(self) -> list[int]:
        """How many images each class has; none where an image has no one class."""
        if self.source.annotations != "classes":
            return []
        counts: list[int] = torch.bincount(self.label_N[self.ids_M], minlength=len(self.classes)).tolist()
        return counts

    def class_objects(self) -> list[int]:
        """How many objects each class has that are trained on; none where there are no boxes."""
        if (objects := self.source.objects) is None:
            return []
        is_own_A = np.isin(objects.image_A, self.ids_M.numpy()) & objects.trained_A
        counts: list[int] = np.bincount(objects.class_A[is_own_A], minlength=len(self.classes)).tolist()
        return counts

    def native_side_px(self) -> int:
        """Median short side of a few of its images, by their headers."""
        return self.source.native_side_px(self.ids_M.numpy())

    def native_frame(self) -> tuple[int, float]:
        """Median longer side of a few of its images, and their width / height, by their headers."""
        return self.source.native_frame(self.ids_M.numpy())


@dataclass(frozen=True)
class Splits:
    """The data of a run.

    Attributes:
        train, val, test: Disjoint; `val` and `test` may be missing.
        classes: Names of the classes, in the order of the source.
        notes: How the splits came about, a sentence each.
        cache: Whether content hashes may be kept in the user's cache folder.
        by_masks: Whether images were drawn by what their masks show, which has made a difference.
    """

    train: Split
    val: Split | None
    test: Split | None
    classes: list[str]
    notes: list[str] = field(default_factory=list)
    cache: bool = True
    by_masks: bool = False

    @cached_property
    def _manifest(self) -> Manifest:
        found: list[Entries] = []
        hashes: dict[int, Sequence[bytes]] = {}
        named = [(name, split) for name in ("train", "val", "test") if (split := getattr(self, name)) is not None]
        for name, split in named:
            source, key = split.source, id(split.source)
            if key not in hashes:
                used = [other.ids_M for _, other in named if other.source is source]
                hashes[key] = _hashes(source, self.cache, torch.cat(used).numpy())
            ids_M, label_N = split.ids_M.numpy(), split.label_N.numpy()
            found.append(Entries(name, ids_M, source.names, source.sizes, hashes[key], label_N, split.classes))
        return Manifest(found)

    def manifest(self) -> Manifest:
        """One line an image: split, path, bytes, class and content hash, tab-separated and escaped."""
        return self._manifest

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that change with any name, size, class, content or assignment to a split."""
        return self._manifest.digest()


def open_splits(
    source: str,
    test: str = "auto",
    val: str = "auto",
    split_seed: int = 0,
    cache: bool = True,
    labels: LabelFile | None = None,
    part: int | str | None = None,
    tail: LongTail | None = None,
    opens: Callable[[str], Source] = open_source,
    strata: Strata = "auto",
) -> Splits:
    """Opens a source and splits its images.

    The test set is, under `test = "auto"`: the folder `test/` if the source has one beside `train/`; else `val/`,
    the set that everybody reports on ImageNet; else 20 % of all images. Otherwise what `test` says: a share of the
    training images ("20%"), another source ("folder:PATH"; of a source laid out in parts its `test/`, else its
    `val/`), or "none".

    The validation set is, under `val = "auto"`: the folder `val/` if the source has one that is not already the test;
    else 5 % of the training images. Otherwise what `val` says: a share of the training images, another source (its
    `val/`, else its `test/`), or "none".

    Shares are drawn class by class from (`split_seed`, "test" or "val", id), so they depend neither on the training
    seed nor on the order of anything: round(share x images), at least 1 of a class of 2 or more, never a whole class.

    Labels from a file replace those of the training images, and so those of a validation set that is held out from
    them: a user who has only these labels can choose settings by nothing else. Shares are drawn by the source's own
    classes, so the same images are held out with and without the file. Test images keep the source's own labels,
    and so do a folder `val/` and other sources.

    Of the images that are left for training then, `part` takes a fixed part of every class, and `tail` makes classes
    rare; validation and test stay as they are without them. Both, too, go by the source's own classes.

    Images with boxes or masks are drawn by the rarest class that they show, for which masks are read once.

    Args:
        source: A text such as `digits` or `folder:PATH`; see `fewer.data.sources`.
        test: "auto", a share, a source or "none".
        val: "auto", a share, a source or "none".
        split_seed: Seed of held-out shares.
        cache: Whether content hashes may be kept in the user's cache folder.
        labels: Labels of the training images; the source's own if left out.
        part: How many images train, or a share such as "20%"; all if left out.
        tail: The long tail that the training images are thinned to.
        opens: Lists a source, whatever its kind; `fewer.data.sources.open_source`, with what it is told of files.
        strata: Of masks: "auto", or "none" to draw by chance alone.

    Raises:
        RecipeError: `part` asks for more images than there are, or for fewer than there are classes.
        DataError: A source is missing, empty or malformed, a test class is unknown in training, or the file of
            labels does not fit the images.
    """
    draft = _Draft(opens(source), split_seed, labels, opens, strata_of(strata, cache))
    test_split = draft.test(test)  # before val: what is left may then validate
    val_split = draft.val(val)
    draft.thin(part, tail)
    train = draft.split(draft.train_M, "train")
    notes = draft.notes + [
        f'the folder {part}/ of {source} is not used: data.{part} = "{asked}"'
        for part, asked in (("val", val), ("test", test))
        if part in draft.free
    ]
    return Splits(train, val_split, test_split, draft.classes, notes, cache, draft.by_masks)


class _Draft:
    """What is still free of a source while its splits are taken from it."""

    def __init__(
        self,
        source: Source,
        split_seed: int,
        labels: LabelFile | None,
        opens: Callable[[str], Source],
        strata: Callable[[Source, npt.NDArray[np.int64]], npt.NDArray[np.int64] | None],
    ) -> None:
        self.source, self.by_masks = source, False
        self.notes = list(source.notes)
        self.free = {part: torch.from_numpy(ids) for part, ids in source.parts.items()}
        self.train_M = self.free.pop("train", torch.arange(len(source)))
        self.classes = source.train_classes()
        self._split_seed, self._opens, self._strata = split_seed, opens, strata
        self._label_N = overridden(labels, source, self.train_M.numpy(), self.notes) if labels else source.labels

    def test(self, text: str) -> Split | None:
        share = held_out_share(text, "data.test")
        if text == "auto":
            part = next((part for part in ("test", "val") if part in self.free), None)
            return self._folder(part, "test") if part else self._held_out(_TEST_SHARE, "test")
        if text == "none":
            return None
        return self._held_out(share, "test") if share else self._given(text, "test", ("test", "val"))

    def val(self, text: str) -> Split | None:
        share = held_out_share(text, "data.val")
        if text == "auto":
            return self._folder("val", "val") if "val" in self.free else self._held_out(_VAL_SHARE, "val")
        if text == "none":
            return None
        return self._held_out(share, "val") if share else self._given(text, "val", ("val", "test"))

    @cached_property
    def _stratum_N(self) -> Tensor:
        """The class of each image by which shares are drawn; of masks the rarest that it shows, where that is asked."""
        label_N = torch.from_numpy(self.source.labels)
        found = self._strata(self.source, self.train_M.numpy())
        if found is None:
            return label_N
        self.by_masks = len(np.unique(found)) > 1
        return label_N.index_put((self.train_M,), torch.from_numpy(found))

    def thin(self, part: int | str | None, tail: LongTail | None) -> None:
        """Leaves out training images that are not wanted."""
        label_N = torch.from_numpy(self.source.labels)
        if part is not None:
            stratum_N = self._stratum_N  # which finds out what it is drawn by
            by = drawn_by(self.source.annotations, self.by_masks)
            self.train_M = subset(self.train_M, stratum_N, part, self._split_seed, self.notes, by)
        if tail is not None:
            self.train_M = thinned(self.train_M, label_N, self.source.classes, tail, self._split_seed, self.notes)

    def split(self, ids_M: Tensor, purpose: str) -> Split:
        label_N = self.source.labels if purpose == "test" else self._label_N
        return _split(self.source, ids_M, label_N, self.classes, purpose, self.notes)

    def _held_out(self, share: float, purpose: str) -> Split:
        chosen = stratified(self.train_M, self._stratum_N, share, self._split_seed, purpose)
        by, count = drawn_by(self.source.annotations, self.by_masks), quantity(len(chosen), "image")
        of_all = f"held out {share * 100:g} % of {len(self.train_M):,} images for {purpose} ({count})"
        self.notes.append(f"{of_all}, {by}, split_seed {self._split_seed}")
        self.notes += [] if len(chosen) else [nothing_held_out(purpose)]
        self.train_M = self.train_M[~torch.isin(self.train_M, chosen)]
        return self.split(chosen, purpose)

    def _folder(self, part: str, purpose: str) -> Split:
        ids_M = self.free.pop(part)
        where = f"folder {part}/" if self.source.annotations == "classes" else f"split {part}"
        self.notes.append(f"{purpose} is the {where} of {self.source.name} ({quantity(len(ids_M), 'image')})")
        return self.split(ids_M, purpose)

    def _given(self, text: str, purpose: str, parts: tuple[str, str]) -> Split:
        return open_given(text, self.classes, purpose, parts, self.notes, self._opens)


def open_given(
    text: str,
    classes: list[str],
    purpose: str,
    parts: tuple[str, str],
    notes: list[str],
    opens: Callable[[str], Source] = open_source,
) -> Split:
    """Images of a source of their own: those of the first of `parts` that it is laid out in, else all.

    Args:
        text: The source.
        classes: Names of the classes known; the source may lack some.
        purpose: What the images are for, in messages.
        parts: Which parts of the source to look for.
        notes: Where a sentence about the outcome is added.
        opens: Lists a source; as for `open_splits`.

    Raises:
        DataError: The source is missing, empty or malformed, or has an image of another class.
    """
    source = opens(text)
    part = next((part for part in parts if part in source.parts), None)
    ids_M = torch.from_numpy(source.parts[part]) if part else torch.arange(len(source))
    where = f"the folder {part}/ of {text}" if part else text
    notes.append(f"{purpose} is {where} ({len(ids_M):,} images)")
    notes += [f"{text}: {note}" for note in source.left_out.notes]
    return _split(source, ids_M, source.labels, classes, purpose, notes)


def spread(ids_M: Tensor, count: int) -> Tensor:
    """At most `count` of some ids, at even distances: ids are sorted by path and so by class, and all take part."""
    count = min(count, len(ids_M))
    return ids_M[torch.arange(count) * len(ids_M) // max(1, count)]


def _split(
    source: Source,
    ids_M: Tensor,
    label_N: npt.NDArray[np.int64],
    classes: list[str],
    purpose: str,
    notes: list[str],
) -> Split:
    """A split whose labels index `classes`; `label_N` indexes the source's own."""
    shown = source.shown(ids_M.numpy()) if label_N is source.labels else None
    numbered = source.in_classes(classes, purpose)
    index = {name: i for i, name in enumerate(classes)}
    translated = torch.tensor([index.get(name, -1) for name in source.classes])
    label_M = translated[torch.from_numpy(label_N)[ids_M]]
    if (label_M < 0).any():
        first = int(ids_M[label_M < 0][0])
        unknown = source.classes[int(label_N[first])]
        raise DataError(
            f"{source.name}: class {unknown!r} of the {purpose} set is unknown in training "
            f"(first: {source.names[first]}); allowed: {_listed(classes)}; fix: rename or remove that folder"
        )
    missing = sorted(set(classes) - set(shown or (classes[i] for i in label_M.unique().tolist())))
    if missing:
        notes.append(f"the {purpose} set has no image of {_listed(missing)}")
    note_difficult(source, ids_M.numpy(), purpose, notes)
    own_N = torch.full((len(source),), -1)
    own_N[ids_M] = label_M
    return Split(numbered, ids_M, own_N, classes)


def _hashes(source: Source, cache: bool, ids: npt.NDArray[np.int64]) -> Sequence[bytes]:
    """A hash by id of what each image and its boxes or mask hold; the others mean nothing."""
    content = fingerprint.hashes(source, cache, ids)
    if source.annotations == "classes":
        return content
    found = [b""] * len(source)
    for id in ids.tolist():
        found[id] = hashlib.blake2b(content[id] + source.annotation_digest(id), digest_size=16).digest()
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
