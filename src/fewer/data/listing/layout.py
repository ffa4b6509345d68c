"""Rules by which paths, and rows of tables, become ids, classes and parts; all sources share them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.listing.string_array import Names

IMAGE_SUFFIXES = frozenset(("jpg", "jpeg", "png", "bmp", "gif", "webp", "ppm", "pgm", "tif", "tiff"))
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


Columns = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Held:
    """The images that one folder holds: their names there, sorted, and whole numbers about each, the bytes first."""

    names: Sequence[str]
    columns: Columns


@dataclass(frozen=True, slots=True)
class Arranged:
    """A listing in its final order; fields as those of `Source`, `columns` as those of `Held` (N, any)."""

    names: Names
    columns: Columns
    classes: list[str]
    labels: npt.NDArray[np.int64]
    parts: dict[str, npt.NDArray[np.int64]]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """A part of a source that is a table rather than files.

    Attributes:
        part: `train`, `val`, `test`, or "" for a source of one part.
        sizes: Bytes of the image in each row.
        labels: Class of each row, an index.
    """

    part: str
    sizes: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def is_image(path: str) -> bool:
    """Whether the file's ending is one of the image formats'."""
    return path.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def is_visible(path: str) -> bool:
    """Whether no component is hidden (`.name`) or macOS's shadow folder."""
    return not (path.startswith((".", "__MACOSX")) or "/." in path or "/__MACOSX" in path)


def grouped(files: Mapping[str, tuple[int, ...]]) -> dict[str, Held]:
    """Files by the folder that holds them, from path to whole numbers."""
    found: dict[str, list[str]] = {}
    for path in sorted(files):
        found.setdefault(path.rpartition("/")[0], []).append(path)
    return {
        holder: Held([path.rpartition("/")[2] for path in paths], np.array([files[path] for path in paths], np.int64))
        for holder, paths in found.items()
    }


def arranged(source: str, held: Mapping[str, Held], folders: Iterable[str]) -> Arranged:
    """Sorts images by path into ids, and finds classes and parts.

    The class of an image is the folder that holds it, at whatever depth. Where all class folders lie below `train/`
    and its siblings `val/` (or `valid/`, `validation/`) and `test/`, those are the parts, and other siblings are left
    out with a note. A leading folder that everything lies in (`cifar10/...`, a lone `train/...`) means nothing.

    Args:
        source: What to call the source in messages.
        held: Images by the path of their folder, `/`-separated, relative to the root of the source.
        folders: Paths of folders, so that empty classes are noticed.

    Raises:
        DataError: No images, images outside class folders, an empty class, or `val/` and `test/` without `train/`.
    """
    _check(source, held, folders)
    # No folder of images lies in another one, so this is the order of whole paths.
    holders = sorted(held, key=lambda holder: f"{holder}/")
    notes: list[str] = []
    base = _base(holders)
    tops = {holder: holder[len(base) :].partition("/") for holder in holders}
    if any(top == "train" and below for top, _, below in tops.values()):
        holders = _without_strangers(holders, tops, notes)
    elif len(found := {top for top, _, below in tops.values() if below and top in PARTS}) > 1:
        have = ", ".join(f"{part}/" for part in sorted(found))
        raise DataError(f"{source}: there is {have} but no train/; fix: name the folder to train on train/")
    else:
        tops = {}
        _check_no_hidden_parts(source, holders)
    classes = sorted({holder.rpartition("/")[2] for holder in holders})
    index = {name: i for i, name in enumerate(classes)}
    counts = [len(held[holder].names) for holder in holders]
    labels = np.repeat(np.array([index[holder.rpartition("/")[2]] for holder in holders], np.int64), counts)
    part_N = np.repeat([PARTS[tops[holder][0]] if tops else "" for holder in holders], counts)
    if not tops and len(classes) < len(holders):
        notes.append(f"{source}: class folders of one name in different places are one class")
    names = Names(f"{holder}/{name}" for holder in holders for name in held[holder].names)
    columns = np.concatenate([held[holder].columns for holder in holders])
    return _complete(source, Arranged(names, columns, classes, labels, _parts(part_N), notes))


def tabled(source: str, tables: Sequence[Rows], classes: list[str]) -> Arranged:
    """Lists rows of tables as `train/00042`; columns are the bytes, the position in `tables`, and the row there.

    Args:
        source: What to call the source in messages.
        tables: The parts.
        classes: Names of the classes, in the source's own order.

    Raises:
        DataError: There are no images.
    """
    if not any(len(rows.labels) for rows in tables):
        raise DataError(f"{source}: there are no images in it; fix: give another source")
    order = sorted(range(len(tables)), key=lambda i: f"{tables[i].part}/")
    counts = [len(tables[i].labels) for i in order]
    digits = len(str(max(counts) - 1))
    prefixes = [f"{tables[i].part}/" if tables[i].part else "" for i in order]
    names = Names(
        f"{prefix}{row:0{digits}d}" for prefix, count in zip(prefixes, counts, strict=True) for row in range(count)
    )
    columns = [np.concatenate([tables[i].sizes for i in order]), np.repeat(order, counts)]
    columns.append(np.concatenate([np.arange(count) for count in counts]))
    part_N = np.repeat([tables[i].part for i in order], counts)
    labels = np.concatenate([tables[i].labels for i in order])
    return _complete(source, Arranged(names, np.stack(columns, axis=1), classes, labels, _parts(part_N), []))


def _parts(part_N: npt.NDArray[np.str_]) -> dict[str, npt.NDArray[np.int64]]:
    found = {part: np.flatnonzero(part_N == part) for part in ("train", "val", "test")}
    return {part: ids for part, ids in found.items() if len(ids)}


def _complete(source: str, found: Arranged) -> Arranged:
    present = np.unique(found.labels)
    if len(present) == 1:
        only = found.classes[int(present[0])]
        found.notes.append(f"{source} has one class only ({only!r}): there is nothing to classify")
    return found


def _base(holders: Iterable[str]) -> str:
    """The leading folders that all class folders share, ending in `/`; "" without any."""
    above = {holder.rpartition("/")[0] for holder in holders}
    shared = "" if "" in above else commonpath(above)
    return f"{shared}/" if shared else ""


def _without_strangers(holders: list[str], tops: dict[str, tuple[str, str, str]], notes: list[str]) -> list[str]:
    strangers = sorted({top for top, _, below in tops.values() if top not in PARTS or not below})
    if strangers:
        notes.append(f"left out, being neither train/, val/ nor test/: {', '.join(f'{top}/' for top in strangers)}")
    return [holder for holder in holders if tops[holder][0] in PARTS and tops[holder][2]]


def _check(source: str, held: Mapping[str, Held], folders: Iterable[str]) -> None:
    allowed = "allowed: images in class folders, such as cat/1.png and dog/1.png"
    if not held:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{source}: no images found ({known}); {allowed}; fix: check the path")
    full = {holder[:end] for holder in held for end in _ends(holder)}
    outer = {path.rpartition("/")[0] for path in full} | {""}
    for holder in sorted(held):
        above, _, last = holder.rpartition("/")
        if holder in outer or (last in PARTS and PARTS.keys().isdisjoint(above.split("/"))):
            here = f"directly in {holder}/" if holder else "directly in the root"
            first = f"{holder}/{held[holder].names[0]}".lstrip("/")
            raise DataError(f"{source}: images lie {here} (first: {first}); {allowed}; fix: move them to class folders")
    siblings = {holder.rpartition("/")[0] for holder in held}
    empty = sorted(path for path in folders if path not in full and path.rpartition("/")[0] in siblings)
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise DataError(
            f"{source}: class folder {empty[0]}/{more} holds no images; allowed: at least one image a class; "
            f"fix: add images to it or remove it"
        )


def _check_no_hidden_parts(source: str, holders: Iterable[str]) -> None:
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
