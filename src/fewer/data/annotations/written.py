"""Files of annotations to write, in memory: what the formats share. A: objects."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fewer.data.annotations.boxes import Boxes
from fewer.data.annotations.tree import stem_of
from fewer.data.listing.split_folders import is_plain

_HOLDERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "obj_train_data"))


@dataclass
class Written:
    """What a format makes of boxes.

    Attributes:
        files: Content by path.
        images: Where each image goes, by its id; images that are not there cannot be held.
        lost: What the format cannot hold, and of how many.
        notes: What the user should know, a sentence each.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    images: dict[int, str] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def part_by_id(found: Boxes) -> dict[int, str]:
    """The split of each image: "" without splits; images of no split are left out where there are splits."""
    if not found.parts:
        return dict.fromkeys(range(len(found.names)), "")
    return {id: part for part, ids in found.parts.items() for id in ids.tolist()}


def paths_for(found: Boxes, folder_of: Callable[[str], str], flat: bool = False) -> dict[int, str]:
    """Where each image goes: below the folder of its split, by its path less folders that say nothing.

    No two of them have one stem, in whatever case, so that each has annotations of its own.

    Args:
        found: The images.
        folder_of: The folder of a split, ending in `/`.
        flat: Whether all images of a split lie in one folder.
    """
    taken: set[str] = set()
    places: dict[int, str] = {}
    for id, part in part_by_id(found).items():
        *folders, file = found.names[id].split("/")
        kept = [each for each in folders if each.lower() not in _HOLDERS and not is_plain(each)]
        path = ("_" if flat else "/").join([*kept, file])
        path = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", path)  # the last are bytes that are no UTF-8
        stem, ending = posixpath.splitext(path)
        number, tried = 1, stem
        while (folder_of(part) + tried).lower() in taken:
            number += 1
            tried = f"{stem}-{number}"
        taken.add((folder_of(part) + tried).lower())
        places[id] = f"{folder_of(part)}{tried}{ending}"
    return places


def number_text(value: float) -> str:
    """A number as a file has it: whole ones without a point, others with all their digits."""
    return str(int(value)) if value == int(value) else repr(float(value))


def beside(image: str, folder: str, replaced: str, ending: str) -> str:
    """The path of an image's annotations: in another folder than `replaced`, with another ending."""
    return f"{folder}{stem_of(image.removeprefix(replaced))}.{ending}"
