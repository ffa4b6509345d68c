"""Annotated boxes in one neutral form: images sorted by path, boxes in pixels of upright pictures.

Rules:

- Boxes are taken as those of the upright picture. Where the stated size is that of the picture as it is stored, which
  EXIF turns, they are turned with it. Of a picture that is only mirrored or upside down the size does not tell, and
  they are taken as upright.
- Boxes without area, upside down, or wholly outside the picture are left out. Of boxes that reach over its edge the
  part inside is kept, and up to one pixel outside is no fault: conventions differ by as much.

A: objects. N: images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.core.objects import ObjectTable
from fewer.data.annotations.draft import Draft
from fewer.data.annotations.faults import Fault, counted
from fewer.data.annotations.header import Header, header_of, turned
from fewer.data.annotations.tree import Tree

STOPS = ("annotation-unreadable", "class-names")  # faults that nothing can be trained beyond
_SLACK_PX = 1.0
_OUTLINE = "segmentation"  # COCO's key


@dataclass(frozen=True)
class Boxes:
    """Images with their boxes.

    Attributes:
        tree: The files.
        names: Path of every image below the root, sorted; the position is the id.
        classes: Names of the classes.
        objects: The boxes.
        size_N2: Width and height of each upright picture, int64 (N, 2); 0 where its header cannot be read.
        parts: Ids of `train`, `val` and `test`; empty without splits.
        notes: What the user should know, a sentence each.
        faults: What is wrong.
        extra: Keys of each object that only its own format has, where they were kept.
        image_extra: The same of each image.
    """

    tree: Tree
    names: list[str]
    classes: list[str]
    objects: ObjectTable
    size_N2: npt.NDArray[np.int64]
    parts: dict[str, npt.NDArray[np.int64]]
    notes: list[str]
    faults: list[Fault]
    extra: list[dict[str, Any]] = field(default_factory=list)
    image_extra: list[dict[str, Any]] = field(default_factory=list)

    def require_sound(self, name: str) -> None:
        """Refuses what nobody can be trained on.

        Raises:
            DataError: A file of annotations cannot be read, or there are neither images nor boxes.
        """
        stops = [fault for fault in self.faults if fault.code in STOPS]
        if stops:
            more = f" (and {len(stops) - 1:,} more faults)" if len(stops) > 1 else ""
            where = f"{self.tree.root}/{stops[0].path}"
            raise DataError(f"{name}: {where}: {stops[0].reason}{more}; fix: `fewer data check {name}` lists all")
        if not self.names or not len(self.objects.class_A):
            what = "no annotated images" if not self.names else f"no box in {len(self.names):,} images"
            first = f" ({self.faults[0].path}: {self.faults[0].reason})" if self.faults else ""
            raise DataError(
                f"{name}: {what} found{first}; allowed: images with their annotations; fix: `fewer data check {name}` "
                "says what is missing"
            )


def settled(draft: Draft, tree: Tree) -> Boxes:
    """The neutral form of what a reader gathered."""
    order = sorted(range(len(draft.names)), key=lambda i: draft.names[i])
    names = [draft.names[i] for i in order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    image_A = place[np.array(draft.image, np.int64)]
    rows = np.argsort(image_A, kind="stable")
    first_N1 = np.concatenate([[0], np.cumsum(np.bincount(image_A, minlength=len(names)))]).astype(np.int64)
    box_A4 = np.array(draft.box, np.float64).reshape(-1, 4)[rows]
    area_A = np.array(draft.area, np.float64)[rows]
    label_A, crowd_A, difficult_A = (
        np.array(each, np.int64)[rows] for each in (draft.label, draft.crowd, draft.difficult)
    )
    table = ObjectTable(first_N1, box_A4, label_A, crowd_A > 0, difficult_A > 0, area_A)
    headers = [header_of(f"{tree.root}/{name}") for name in names]
    faults = list(draft.faults)
    turned_ids = _lay_out(table, names, [draft.stated[i] for i in order], headers, draft.relative, faults)
    size_N2 = np.array([header.upright if header else (0, 0) for header in headers], np.int64).reshape(-1, 2)
    kept_A = _usable(table, names, size_N2, faults)
    parts = {part: [i for i, at in enumerate(order) if draft.parts[at] == part] for part in ("train", "val", "test")}
    if not parts["train"]:
        parts = {}
    notes = [*draft.notes, *counted(faults)]
    unused = sum(not part for part in draft.parts) if parts else 0
    if unused:
        notes.append(f"{unused:,} image{'' if unused == 1 else 's'} of no split: not used")
    return Boxes(
        tree,
        names,
        draft.classes,
        _with_areas(table).only(kept_A),
        size_N2,
        {part: np.array(ids, np.int64) for part, ids in parts.items() if ids},
        notes,
        faults,
        _upright_extra([draft.extra[i] for i in rows[kept_A]], image_A[rows[kept_A]], turned_ids, notes)
        if draft.keeps
        else [],
        [draft.image_extra[i] for i in order] if draft.keeps else [],
    )


def _upright_extra(
    extra: list[dict[str, Any]], image_A: npt.NDArray[np.int64], turned_ids: set[int], notes: list[str]
) -> list[dict[str, Any]]:
    """Extra keys without the outlines of pictures that were turned, which would lie askew."""
    askew = [each for each, id in zip(extra, image_A.tolist(), strict=True) if id in turned_ids and _OUTLINE in each]
    for each in askew:
        del each[_OUTLINE]
    if askew:
        notes.append(f"outlines of objects in pictures that EXIF turns are not kept: {len(askew):,}")
    return extra


def _lay_out(
    table: ObjectTable,
    names: Sequence[str],
    stated: Sequence[tuple[int, int]],
    headers: Sequence[Header | None],
    relative: bool,
    faults: list[Fault],
) -> set[int]:
    """Makes boxes those of the upright picture, in pixels; in place. Gives the images that were turned."""
    turned_ids = set()
    for id, (name, size, header) in enumerate(zip(names, stated, headers, strict=True)):
        box_K4 = table.box_A4[table.image(id)]
        if relative:
            box_K4 *= (*header.upright, *header.upright) if header else 0
        elif header and all(size) and size != header.upright:
            if size == (header.width, header.height):
                box_K4[:] = turned(box_K4, header)
                turned_ids.add(id)
            else:
                real = "x".join(map(str, header.upright))
                faults.append(
                    Fault("size-differs", name, f"annotated as {size[0]}x{size[1]}, but it has {real} pixels")
                )
    return turned_ids


def _usable(
    table: ObjectTable, names: Sequence[str], size_N2: npt.NDArray[np.int64], faults: list[Fault]
) -> npt.NDArray[np.bool_]:
    """Which boxes have a part inside their picture; they are cut to it in place."""
    image_A, box_A4 = table.image_A, table.box_A4
    wide_A2 = size_N2[image_A].astype(np.float64)
    wide_A2[wide_A2 == 0] = np.inf  # of an unknown size nothing is outside
    limit_A4 = np.concatenate([wide_A2, wide_A2], axis=1)
    side_A2 = box_A4[:, 2:] - box_A4[:, :2]
    inverted_A = (side_A2 < 0).any(axis=1)
    empty_A = ~inverted_A & (side_A2 == 0).any(axis=1)
    cut_A4 = box_A4.clip(0, limit_A4)
    gone_A = ~inverted_A & ~empty_A & (cut_A4[:, 2:] <= cut_A4[:, :2]).any(axis=1)
    over_A = ~inverted_A & ~empty_A & (abs(cut_A4 - box_A4) > _SLACK_PX).any(axis=1)
    for code, bad_A in (("box-inverted", inverted_A), ("box-empty", empty_A), ("box-outside", gone_A | over_A)):
        for at in np.flatnonzero(bad_A).tolist():
            width, height = size_N2[image_A[at]].tolist()
            faults.append(Fault(code, names[image_A[at]], f"box {edges(box_A4[at])} of {width}x{height} pixels"))
    kept_A: npt.NDArray[np.bool_] = ~(inverted_A | empty_A | gone_A)
    np.copyto(box_A4, cut_A4, where=kept_A[:, None])
    return kept_A


def edges(box: Sequence[float] | npt.NDArray[np.float64]) -> str:
    """Left, top, right and bottom in a message."""
    return ", ".join(f"{float(edge):.6g}" for edge in box)


def _with_areas(table: ObjectTable) -> ObjectTable:
    """The table, with the area of its box for an object without an area of its own."""
    side_A2 = table.box_A4[:, 2:] - table.box_A4[:, :2]
    with np.errstate(over="ignore"):  # files may say that a box is larger than any number
        area_A = side_A2[:, 0] * side_A2[:, 1]
    return replace(table, area_A=np.where(table.area_A < 0, area_A, table.area_A))
