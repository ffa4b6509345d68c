"""Rules by which paths, and rows of tables, become ids, classes and parts; all sources share them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.core.text import quantity
from fewer.data.decode.formats import READ as IMAGE_SUFFIXES
from fewer.data.decode.formats import is_image as is_image
from fewer.data.listing.class_folders import ClassLevel, classified, refuse_empty
from fewer.data.listing.split_folders import Layout, layout_of
from fewer.data.listing.string_array import Names

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


def grouped(files: Mapping[str, tuple[int, ...]]) -> dict[str, Held]:
    """Files by the folder that holds them, from path to whole numbers."""
    found: dict[str, list[str]] = {}
    for path in sorted(files):
        found.setdefault(path.rpartition("/")[0], []).append(path)
    return {
        holder: Held([path.rpartition("/")[2] for path in paths], np.array([files[path] for path in paths], np.int64))
        for holder, paths in found.items()
    }


def arranged(
    source: str,
    held: Mapping[str, Held],
    folders: Iterable[str],
    class_level: ClassLevel = "auto",
    notes: Iterable[str] = (),
) -> Arranged:
    """Sorts images by path into ids, and finds classes and parts.

    Folders called after splits, of which one is for training, are the parts (`fewer.data.listing.split_folders`);
    other folders beside them are left out with a note. Which folder below them is the class, `class_level` says
    (`fewer.data.listing.class_folders`). Leading folders that everything lies in mean nothing.

    Args:
        source: What to call the source in messages.
        held: Images by the path of their folder, `/`-separated, relative to the root of the source.
        folders: Paths of folders, so that empty classes are noticed.
        class_level: Which folder is the class, counted from the root or the split folder.
        notes: What the user should know already.

    Raises:
        DataError: No images, images outside class folders, an empty class, or folders that can be read in two ways.
    """
    _require_images(source, held)
    # Ids are positions of whole paths: "a-b/" lies between "a!/" and "a/".
    holders = sorted(held, key=lambda holder: f"{holder}/")
    first = {holder: held[holder].names[0] for holder in holders}
    layout = layout_of(source, holders, first, class_level == "auto")
    found = classified(source, layout, holders, class_level)
    refuse_empty(source, found, holders, folders)
    placed = found.places
    holders = [holder for holder in holders if holder in placed]
    classes = sorted({place.label for place in placed.values()})
    index = {name: i for i, name in enumerate(classes)}
    counts = [len(held[holder].names) for holder in holders]
    labels = np.repeat(np.array([index[placed[holder].label] for holder in holders], np.int64), counts)
    part_N = np.repeat([placed[holder].part for holder in holders], counts)
    names = Names(f"{holder}/{name}" for holder in holders for name in held[holder].names)
    columns = np.concatenate([held[holder].columns for holder in holders])
    if found.nested:
        order = np.array(sorted(range(len(names)), key=lambda i: names[i]), np.int64)
        names, columns, labels, part_N = Names(names[i] for i in order), columns[order], labels[order], part_N[order]
    all_notes = [*notes, *layout.notes, *_strays(layout, held), *found.notes]
    return Arranged(names, columns, classes, labels, _parts(part_N), all_notes)


def _strays(layout: Layout, held: Mapping[str, Held]) -> list[str]:
    """Notes of images that lie in the folder of a split, beside its class folders: nobody says what they show."""
    places = [place for top in layout.folders.values() if (place := f"{layout.base}{top}") in held]
    return [
        f"left out: {quantity(len(held[place].names), 'image')} directly in {place}/ (first: {held[place].names[0]}), "
        "of no class; sorted into class folders they would be used"
        for place in places
    ]


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
    return Arranged(names, np.stack(columns, axis=1), classes, labels, _parts(part_N), [])


def _parts(part_N: npt.NDArray[np.str_]) -> dict[str, npt.NDArray[np.int64]]:
    found = {part: np.flatnonzero(part_N == part) for part in ("train", "val", "test")}
    return {part: ids for part, ids in found.items() if len(ids)}


def _require_images(source: str, held: Mapping[str, Held]) -> None:
    allowed = "allowed: images in class folders, such as cat/1.png and dog/1.png"
    if not held:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{source}: no images found ({known}); {allowed}; fix: check the path")
    if "" in held:
        first = held[""].names[0]
        raise DataError(
            f"{source}: images lie directly in the root (first: {first}); {allowed}; "
            "fix: move them to class folders, or put their boxes or masks beside them"
        )
