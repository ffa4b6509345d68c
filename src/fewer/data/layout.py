"""How paths become ids, classes and parts: the rules that folders and tars share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os.path import commonpath

import numpy as np
import numpy.typing as npt

from fewer.errors import DataError

IMAGE_SUFFIXES = frozenset(("jpg", "jpeg", "png", "bmp", "gif", "webp", "ppm", "pgm", "tif", "tiff"))
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class Arranged:
    """A listing in its final order; fields as those of `Source`."""

    names: list[str]
    classes: list[str]
    labels: npt.NDArray[np.int64]
    parts: dict[str, npt.NDArray[np.int64]]
    notes: list[str]


def is_image(path: str) -> bool:
    """Whether the file's ending is one of the image formats'."""
    return path.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def is_visible(path: str) -> bool:
    """Whether no component is hidden (`.name`) or macOS's shadow folder."""
    return not (path.startswith((".", "__MACOSX")) or "/." in path or "/__MACOSX" in path)


def arranged(source: str, paths: Iterable[str], folders: Iterable[str]) -> Arranged:
    """Sorts paths into ids, and finds classes and parts.

    The class of an image is the folder that holds it, at whatever depth. Where all class folders lie below `train/`
    and its siblings `val/` (or `valid/`, `validation/`) and `test/`, those are the parts, and other siblings are left
    out with a note. A leading folder that everything lies in (`cifar10/...`, a lone `train/...`) means nothing.

    Args:
        source: What to call the source in messages.
        paths: Paths of images, `/`-separated, relative to the root of the source.
        folders: Paths of folders, so that empty classes are noticed.

    Raises:
        DataError: No images, images outside class folders, an empty class, or `val/` and `test/` without `train/`.
    """
    names = sorted(paths)
    holders = {name.rpartition("/")[0] for name in names}
    _check(source, names, holders, folders)
    notes: list[str] = []
    base = _base(holders)
    tops = {holder: holder[len(base) :].partition("/") for holder in holders}
    if any(top == "train" and below for top, _, below in tops.values()):
        names, holders = _without_strangers(names, tops, notes)
    elif len(found := {top for top, _, below in tops.values() if below and top in PARTS}) > 1:
        have = ", ".join(f"{part}/" for part in sorted(found))
        raise DataError(f"{source}: there is {have} but no train/; fix: name the folder to train on train/")
    else:
        tops = {}
        _check_no_hidden_parts(source, holders)
    classes = sorted({holder.rpartition("/")[2] for holder in holders})
    index = {name: i for i, name in enumerate(classes)}
    label_of = {holder: index[holder.rpartition("/")[2]] for holder in holders}
    labels = np.fromiter((label_of[name.rpartition("/")[0]] for name in names), np.int64, len(names))
    part_N = np.array([PARTS[tops[name.rpartition("/")[0]][0]] if tops else "" for name in names])
    parts = {part: np.flatnonzero(part_N == part) for part in ("train", "val", "test")} if tops else {}
    if not tops and len(classes) < len(holders):
        notes.append(f"{source}: class folders of one name in different places are one class")
    if len(classes) == 1:
        notes.append(f"{source} has one class only ({classes[0]!r}): nothing can be told apart")
    return Arranged(names, classes, labels, {part: ids for part, ids in parts.items() if len(ids)}, notes)


def _base(holders: set[str]) -> str:
    """The leading folders that all class folders share, ending in `/`; "" without any."""
    above = {holder.rpartition("/")[0] for holder in holders}
    shared = "" if "" in above else commonpath(above)
    return f"{shared}/" if shared else ""


def _without_strangers(
    names: list[str], tops: dict[str, tuple[str, str, str]], notes: list[str]
) -> tuple[list[str], set[str]]:
    strangers = sorted({top for top, _, below in tops.values() if top not in PARTS or not below})
    if strangers:
        notes.append(f"left out, being neither train/, val/ nor test/: {', '.join(f'{top}/' for top in strangers)}")
    kept = {holder for holder, (top, _, below) in tops.items() if top in PARTS and below}
    return [name for name in names if name.rpartition("/")[0] in kept], kept


def _check(source: str, names: list[str], holders: set[str], folders: Iterable[str]) -> None:
    allowed = "allowed: images in class folders, such as cat/1.png and dog/1.png"
    if not names:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{source}: no images found ({known}); {allowed}; fix: check the path")
    full = {holder[:end] for holder in holders for end in _ends(holder)}
    outer = {path.rpartition("/")[0] for path in full} | {""}
    for holder in sorted(holders):
        above, _, last = holder.rpartition("/")
        if holder in outer or (last in PARTS and PARTS.keys().isdisjoint(above.split("/"))):
            here = f"directly in {holder}/" if holder else "directly in the root"
            first = next(name for name in names if name.rpartition("/")[0] == holder)
            raise DataError(f"{source}: images lie {here} (first: {first}); {allowed}; fix: move them to class folders")
    siblings = {holder.rpartition("/")[0] for holder in holders}
    empty = sorted(path for path in folders if path not in full and path.rpartition("/")[0] in siblings)
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise DataError(
            f"{source}: class folder {empty[0]}/{more} holds no images; allowed: at least one image a class; "
            f"fix: add images to it or remove it"
        )


def _check_no_hidden_parts(source: str, holders: set[str]) -> None:
    """Refuses `x/train/cat` and `x/test/cat` beside `y/dog`: taken as classes they would mix test into training."""
    above = {folder for holder in holders for folder in holder.split("/")[:-1]}
    others = sorted((above & PARTS.keys()) - {"train"})
    if "train" in above and others:
        raise DataError(
            f"{source}: train/ and {others[0]}/ lie below other folders; allowed: both directly in the root or in one "
            f"leading folder; fix: give the path of the folder that holds them"
        )


def _ends(path: str) -> list[int]:
    """Where each of the path's leading folders ends, the path itself included."""
    return [i for i, letter in enumerate(path) if letter == "/"] + [len(path)]
