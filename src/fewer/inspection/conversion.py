"""Conversion of boxes from one format into another: images linked or copied, and all of it read again to be sure."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fewer.core.errors import DataError, RecipeError
from fewer.data.annotations.boxes import Boxes
from fewer.data.annotations.write_coco import write_coco
from fewer.data.annotations.write_voc import write_voc
from fewer.data.annotations.write_yolo import write_yolo
from fewer.data.annotations.written import Written, part_by_id
from fewer.data.sources import SOURCES, absolute, is_source, no_data
from fewer.inspection.new_folder import beside, require_free

Format = Literal["coco", "voc", "yolo"]
Images = Literal["link", "copy", "none"]
_WRITERS: dict[str, Callable[[Boxes], Written]] = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}


@dataclass(frozen=True)
class Conversion:
    """What is asked for.

    Attributes:
        source: The boxes: a source, or the path of one.
        out: The folder to write, which holds nothing.
        to: The format.
        images: Whether images are linked, copied or left where they are.
    """

    source: str
    out: Path
    to: Format
    images: Images


def converted(asked: Conversion) -> dict[str, Any]:
    """Converts boxes; what was done, as one JSON document.

    Raises:
        DataError: The source cannot be read, or what was written does not read as it should.
        RecipeError: The source has no boxes, or the folder holds something.
        ResourceError: The folder cannot be written.
    """
    require_free(asked.out)
    text = absolute(asked.source, Path.cwd())
    kind, _, place = text.partition(":")
    if not is_source(text):
        raise DataError(no_data(asked.source))
    if not hasattr(SOURCES.module(kind), "listed"):
        kinds = [f"{each}:PATH" for each in SOURCES.own if hasattr(SOURCES.module(each), "listed")]
        raise RecipeError(f"{text}: there are no boxes in it; allowed: {', '.join(kinds)}; fix: give one of these")
    found: Boxes = SOURCES.module(kind).listed(text, place, keeps=True)
    found.require_sound(text)
    made = _WRITERS[asked.to](found)
    with beside(asked.out) as folder:
        for path, content in made.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        if asked.images != "none":
            _place_images(found, made, folder, asked.images)
            _check(found, made, asked, folder)
    parts = part_by_id(found)
    splits = {part or "all": sum(parts[id] == part for id in made.images) for part in dict.fromkeys(parts.values())}
    return {
        "schema": 1, "source": text, "out": str(asked.out), "format": asked.to, "images": splits,
        "objects": len(found.objects.class_A), "classes": found.classes,
        "notes": [*found.notes, *made.notes],
        "lost": {what: count for what, count in made.lost.items() if count}, "checked": asked.images != "none",
        "train": shlex.join(["fewer", "train", f"{asked.to}:{asked.out}"]),
    }  # fmt: skip


def _place_images(found: Boxes, made: Written, folder: Path, how: Images) -> None:
    for id, path in made.images.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        own = f"{found.tree.root}/{found.names[id]}"
        if how == "link":
            os.symlink(os.path.realpath(own), folder / path)
        else:
            shutil.copyfile(own, folder / path)


def _check(found: Boxes, made: Written, asked: Conversion, folder: Path) -> None:
    """Reads all that was written: each image with its split, its boxes and their classes, but for what is told as lost.

    Raises:
        DataError: It is not so.
    """
    read: Boxes = SOURCES.module(asked.to).listed(f"{asked.to}:{folder}", str(folder))
    place = {name: id for id, name in enumerate(read.names)}
    meant, got = part_by_id(found), part_by_id(read)
    dropped = sum(count for what, count in made.lost.items() if what.endswith("left out") and "images" not in what)
    lost = 0
    for id, path in made.images.items():
        other = place.get(path, -1)
        if other < 0 or got.get(other, "") != meant[id]:
            raise _unequal(path, "its split" if other >= 0 else "the image")
        one, two = _rows(found, id), _rows(read, other)
        lost += len(one) - len(two)
        if len(one) == len(two) and any(
            label != again or not np.allclose(box, same, rtol=1e-9, atol=1e-6)
            for (label, box), (again, same) in zip(one, two, strict=True)
        ):
            raise _unequal(path, "a box")
    if lost > dropped:
        raise _unequal(str(asked.out), f"{lost - dropped:,} boxes")


def _rows(found: Boxes, id: int) -> list[tuple[str, list[float]]]:
    here = found.objects.image(id)
    labels, boxes = found.objects.class_A[here].tolist(), found.objects.box_A4[here].tolist()
    return [(found.classes[label], box) for label, box in zip(labels, boxes, strict=True)]


def _unequal(path: str, what: str) -> DataError:
    return DataError(f"{path}: {what} does not read as it was meant; fix: report this as a bug")
