"""COCO JSON as it is written: `annotations/instances_train.json` and images below `images/`.

It holds all that others do: what has no place in COCO's own keys, such as `difficult`, is a further key of the object,
which programs that do not know it leave alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fewer.data.annotations.boxes import Boxes
from fewer.data.annotations.written import Written, part_by_id, paths_for

_FOLDER = "images/"


def write_coco(found: Boxes) -> Written:
    """A file a split; categories are numbered from 1 in the order of classes."""
    made = Written(images=paths_for(found, lambda part: f"{_FOLDER}{part}/" if part else _FOLDER))
    contents: dict[str, dict[str, list[Any]]] = {}
    table = found.objects
    for id, part in part_by_id(found).items():
        content = contents.setdefault(part, {"images": [], "annotations": [], "categories": _categories(found)})
        width, height = found.size_N2[id].tolist()
        extra = found.image_extra[id] if found.image_extra else {}
        content["images"].append(
            {
                **extra,
                "id": id + 1,
                "file_name": made.images[id].removeprefix(_FOLDER),
                "width": width,
                "height": height,
            }
        )
        here = table.image(id)
        for at in range(here.start, here.stop):
            box = table.box_A4[at].tolist()
            object_ = {
                **(_outlines(found.extra[at], width, height) if found.extra else {}),
                "id": at + 1,
                "image_id": id + 1,
                "category_id": int(table.class_A[at]) + 1,
                "bbox": [_short(value) for value in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
                "area": _short(float(table.area_A[at])),
                "iscrowd": int(table.crowd_A[at]),
            }
            content["annotations"].append(object_ | ({"difficult": 1} if table.difficult_A[at] else {}))
    for part, content in contents.items():
        made.files[f"annotations/instances_{part or 'default'}.json"] = json.dumps(content).encode()
    return made


def _categories(found: Boxes) -> list[dict[str, Any]]:
    return [{"id": at + 1, "name": name, "supercategory": "none"} for at, name in enumerate(found.classes)]


def _outlines(extra: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """The extra keys of an object; the points of YOLO's polygon, which are shares, become COCO's in pixels."""
    kept = {key: value for key, value in extra.items() if key != "points"}
    points = extra.get("points")
    if points:
        kept["segmentation"] = [[_short(value * (height if at % 2 else width)) for at, value in enumerate(points)]]
    return kept


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value
