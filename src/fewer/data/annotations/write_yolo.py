"""YOLO as it is written: `images/train/`, `labels/train/` and `data.yaml`, as Ultralytics reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fewer.data.annotations.boxes import Boxes
from fewer.data.annotations.draft import number
from fewer.data.annotations.written import Written, beside, part_by_id, paths_for
from fewer.data.annotations.yolo import around

_FOLDER = "images/"
_SAME_PX = 0.01  # of a box and the one around its outline, edge by edge


def write_yolo(found: Boxes) -> Written:
    """A text file an image; a polygon where the object has one outline, and its box is the one around it."""
    made = Written(images=paths_for(found, lambda part: f"{_FOLDER}{part}/" if part else _FOLDER))
    unknown = [id for id in made.images if not found.size_N2[id].all()]
    for id in unknown:
        del made.images[id]
    made.lost["images whose size cannot be read, left out"] += len(unknown)
    parts = part_by_id(found)
    for id, image in made.images.items():
        lines = [line for line in _lines(found, id, made) if line]
        made.files[beside(image, "labels/", _FOLDER, "txt")] = "".join(f"{line}\n" for line in lines).encode()
    used = [part for part in ("train", "val", "test") if part in parts.values()]
    folders = [f"{part}: images/{part}" for part in used] or ["train: images"]
    names = [f"  {at}: {_quoted(name)}" for at, name in enumerate(found.classes)]
    if "val" not in used:
        made.notes.append("data.yaml has no val, which Ultralytics asks for: there is no validation split to name")
    # Without `path` readers start from the file's folder; `path: .` would be the working directory.
    made.files["data.yaml"] = "\n".join([*folders, "names:", *names, ""]).encode()
    return made


def _lines(found: Boxes, id: int, made: Written) -> list[str]:
    table = found.objects
    width, height = found.size_N2[id].tolist()
    lines = []
    here = table.image(id)
    for at in range(here.start, here.stop):
        if table.crowd_A[at]:
            made.lost["crowd regions, left out"] += 1
            continue
        left, top, right, bottom = table.box_A4[at].tolist()
        extra = found.extra[at] if found.extra else {}
        values = _polygon(extra, (left, top, right, bottom), width, height)
        if not values:
            values = [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width,
                      (bottom - top) / height]  # fmt: skip
            made.lost["outlines"] += bool({"segmentation", "points"} & extra.keys())
        made.lost["marks of difficult objects"] += bool(table.difficult_A[at])
        area = (right - left) * (bottom - top)
        made.lost["areas of their own"] += len(values) == 4 and abs(float(table.area_A[at]) - area) > 1e-6
        lines.append(" ".join([str(int(table.class_A[at])), *(f"{value:.17g}" for value in values)]))
    return lines


def _polygon(extra: Mapping[str, Any], box: tuple[float, float, float, float], width: int, height: int) -> list[float]:
    """The points of an object's only outline, in shares; none where the box around them is not the object's."""
    points: Sequence[float] = extra.get("points") or []
    outlines = extra.get("segmentation")
    if not points and isinstance(outlines, list) and len(outlines) == 1 and isinstance(outlines[0], list):
        numbers = [number(value) for value in outlines[0]]
        points = [(value or 0) / (height if at % 2 else width) for at, value in enumerate(numbers)]
        points = [] if None in numbers else points
    if len(points) < 6 or len(points) % 2:
        return []
    shape = around(points)
    scale = (width, height, width, height)
    same = all(abs(edge * factor - own) <= _SAME_PX for edge, factor, own in zip(shape, scale, box, strict=True))
    return list(points) if same else []


def _quoted(name: str) -> str:
    """A name as YAML's double quotes have it, which are those of JSON; letters stay letters."""
    plain = name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)
    return json.dumps(name, ensure_ascii=not plain)
