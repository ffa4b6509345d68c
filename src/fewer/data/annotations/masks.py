"""Masks: an image of class ids for each picture, as PNG with a palette, with grey values, or with colours by a table.

A mask belongs to the picture of its own name, in a folder that says what it holds: `trainannot/` for `train/`;
`masks/`, `labels/`, `annotations/` or `SegmentationClass/` for `images/` or `JPEGImages/`; `train_masks/` for
`train_images/`. There it may also be called `x_mask`, `x_gt`, `x_seg`, `x_label` or `x_L`. Or it is `x_mask.png` beside
`x.jpg`.
Splits are VOC's lists `ImageSets/Segmentation/train.txt`, or folders called train, val and test.

Ids are read as they are stored: the index into a palette, or the grey value; no conversion of colours touches them.
Class names are the lines of `classes.txt`, or the rows of a table of colours (`class_dict.csv` with name, r, g, b;
CVAT's `labelmap.txt`; Roboflow's `_classes.csv` with value and class). Id 255 is void. So is every class whose name
says so (`unlabelled`, `void`, `ignore`, ...), wherever it stands in the list: it is no class, and the ids behind it
move down. Another id is void where that is asked for.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.annotations.draft import Draft
from fewer.data.annotations.faults import Fault, counted
from fewer.data.annotations.mask_names import table_of
from fewer.data.annotations.mask_values import Table
from fewer.data.annotations.tree import Tree, parts_of, stem_of
from fewer.data.annotations.voc import listed
from fewer.data.decode.formats import ending_of

_MASKS = frozenset(
    ("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "annot", "segmentationclass", "gt",
     "groundtruth", "segmentation", "segmentations", "segmasks")
)  # fmt: skip
_OTHERS = frozenset(("segmentationobject",))
_PICTURES = frozenset(("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data"))
_BEHIND = re.compile(r"(.+?)[-_ ]?(?:annot|annotations?|labels?|masks?|gt)", re.IGNORECASE)
_TAIL = re.compile(r"(?<=.)[-_]mask$", re.IGNORECASE)  # of the name of a mask beside its picture
_LOOSE_TAIL = re.compile(
    r"[-_](?:l|gt|labels?|masks?|seg|segmentation)$", re.IGNORECASE
)  # likewise in folders of masks
_OF_PICTURES = re.compile(r"(.+?)[-_ ](?:images?|imgs?|pictures|photos)", re.IGNORECASE)
_LOSSLESS = ("png", "bmp", "dib", "tif", "tiff", "gif", "pgm", "ppm", "pnm", "webp")


@dataclass(frozen=True)
class Masks:
    """Pictures with their masks.

    Attributes:
        tree: The files.
        names: Path of every picture below the root, sorted; the position is the id.
        masks: Path of the mask of each.
        table: What the values of masks stand for.
        parts: Ids of `train`, `val` and `test`; empty without splits.
        notes: What the user should know, a sentence each.
        faults: What is wrong.
    """

    tree: Tree
    names: list[str]
    masks: list[str]
    table: Table
    parts: dict[str, npt.NDArray[np.int64]]
    notes: list[str]
    faults: list[Fault]


def read(tree: Tree, name: str, ignore_index: int | None = None) -> Masks:
    """All pictures that have a mask.

    Args:
        tree: The files.
        name: What to call the source in messages.
        ignore_index: A stored value that is void, whatever its name; by name alone if left out.

    Raises:
        DataError: There are no pairs of picture and mask, or the classes cannot be told.
    """
    draft = Draft()
    pairs, count = _pairs(tree, name, draft)
    if not pairs:
        doubt = next((fault for fault in draft.faults if fault.code == "image-ambiguous"), None)
        seen = f" ({doubt.path}: {doubt.reason})" if doubt else ""
        fix = "give each picture a name of its own" if doubt else "name the folders so"
        raise DataError(
            f"{name}: no masks found for {count:,} pictures{seen}; allowed: masks of the names of their pictures, "
            f"in folders such as masks/ beside images/, or trainannot/ beside train/; fix: {fix}"
        )
    names, masks = [picture for picture, _ in pairs], [mask for _, mask in pairs]
    lossy = next((mask for mask in masks if ending_of(mask) not in _LOSSLESS), "")
    if lossy:
        raise DataError(f"{name}: {lossy} is no lossless image: ids in it are blurred; fix: save masks as PNG")
    table = table_of(tree, name, masks, ignore_index, draft.notes)
    part_of = _parts(tree, names, draft)
    parts = {part: np.array([i for i, each in enumerate(names) if part_of.get(each) == part], np.int64)
             for part in ("train", "val", "test")}  # fmt: skip
    return Masks(tree, names, masks, table, {part: ids for part, ids in parts.items() if len(ids)} if part_of else {},
                 [*draft.notes, *counted(draft.faults)], draft.faults)  # fmt: skip


def folders_of(paths: Iterable[str]) -> set[str]:
    """All folders above images; those called `train_images`, or the like, as `train` too."""
    found = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    return found | {f"{head}{slash}{_bare(last)}" for each in found for head, slash, last in [each.rpartition("/")]}


def pair_of(path: str, folders: Container[str]) -> tuple[str, bool]:
    """What a picture and its mask have in common in their paths, and whether a path is that of a mask.

    Args:
        path: Of an image, below the root.
        folders: As `folders_of` gives them: `trainannot` is a folder of masks only beside `train`.
    """
    *parts, file = path.split("/")
    is_mask = False
    common: list[str] = []
    for at, part in enumerate(parts):
        behind = _BEHIND.fullmatch(part)
        if part.lower() in _MASKS:
            is_mask = True
        elif behind and "/".join([*parts[:at], behind[1]]) in folders:
            is_mask = True
            common.append(behind[1])
        elif part.lower() not in _PICTURES:
            common.append(_bare(part))
    stem = stem_of(file)
    bare = _TAIL.sub("", stem)
    return "/".join([*common, bare]), is_mask or bare != stem


def _bare(folder: str) -> str:
    """The name of a folder without the word that says that pictures are in it."""
    found = _OF_PICTURES.fullmatch(folder)
    return found[1] if found else folder


def _pairs(tree: Tree, name: str, draft: Draft) -> tuple[list[tuple[str, str]], int]:
    """Each picture with its mask, sorted, and how many pictures there are.

    A mask whose name two pictures have is left out, and so are further masks of a picture in one folder.

    Raises:
        DataError: A picture has masks in two folders, of which nothing says which is meant.
    """
    pictures_by, masks_by = _by_key(tree)
    pairs: list[tuple[str, str]] = []
    for key in sorted(pictures_by.keys() | masks_by.keys()):
        pictures, masks = pictures_by.get(key, []), masks_by.get(key, [])
        if not masks:
            for picture in pictures:
                draft.fault("mask-missing", picture, "no mask of its name")
        elif not pictures:
            for mask in masks:
                draft.fault("image-missing", mask, "no picture of the mask's name")
        elif len(pictures) > 1:
            for mask in masks:
                draft.fault("image-ambiguous", mask, f"{pictures[0]} and {pictures[1]} are both of its name")
        else:
            first, *others = sorted(masks, key=lambda mask: ending_of(mask) not in _LOSSLESS)
            for other in others:
                _require_one_folder(name, pictures[0], first, other)
                draft.fault("image-ambiguous", other, f"{first} is the mask of {pictures[0]} already")
            pairs.append((pictures[0], first))
    return sorted(pairs), sum(map(len, pictures_by.values()))


def _require_one_folder(name: str, picture: str, *masks: str) -> None:
    """Refuses masks of a picture that lie in several folders."""
    one, other = (posixpath.dirname(mask) for mask in masks)
    if one != other:
        raise DataError(
            f"{name}: {picture} has two masks, {masks[0]} and {masks[1]}; allowed: one folder of masks; fix: move "
            f"{one or '.'}/ or {other or '.'}/ out of the data set"
        )


def _by_key(tree: Tree) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Pictures and masks by what their paths have in common; in a folder of masks a name may say again what it is."""
    images = tree.images()
    folders = folders_of(images)
    pictures: defaultdict[str, list[str]] = defaultdict(list)
    masks: defaultdict[str, list[str]] = defaultdict(list)
    for path in images:
        if not _OTHERS & {*path.lower().split("/")[:-1]}:
            key, is_mask = pair_of(path, folders)
            (masks if is_mask else pictures)[key].append(path)
    for key in [key for key in masks if key not in pictures]:
        if (shorter := _LOOSE_TAIL.sub("", key)) in pictures and shorter not in masks:
            masks[shorter] = masks.pop(key)
    return pictures, masks


def _parts(tree: Tree, names: list[str], draft: Draft) -> dict[str, str]:
    lists = {
        stem_of(posixpath.basename(path)): path
        for path in tree.ending("txt")
        if posixpath.dirname(path).endswith("ImageSets/Segmentation")
    }
    if "train" in lists:
        return listed({part: lists[part] for part in ("train", "val", "test") if part in lists}, names, tree, draft)
    return parts_of(names)
