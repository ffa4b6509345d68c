"""Pascal VOC as it is written: `JPEGImages/`, `Annotations/`, and the splits as `ImageSets/Main/*.txt`."""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET

from fewer.core.errors import DataError
from fewer.data.annotations.boxes import Boxes
from fewer.data.annotations.voc import CORNERS
from fewer.data.annotations.written import Written, beside, number_text, part_by_id, paths_for

_FOLDER = "JPEGImages/"
_KEYS = ("pose", "truncated", "occluded")


def write_voc(found: Boxes) -> Written:
    """An XML file an image. Edges are counted from 1 and inclusive, so a box needs more than a pixel either way.

    Raises:
        DataError: The name of a class cannot be written in XML.
    """
    for name in found.classes:
        if not name.isprintable() or name != name.strip():
            raise DataError(f"class {name!r} cannot be kept in XML: blanks at an end, or no text; fix: rename it first")
    made = Written(images=paths_for(found, lambda part: _FOLDER, flat=True))
    lists: dict[str, list[str]] = {}
    for id, part in part_by_id(found).items():
        image = made.images[id]
        made.files[beside(image, "Annotations/", _FOLDER, "xml")] = _annotation(found, id, image, made)
        lists.setdefault(part, []).append(posixpath.splitext(posixpath.basename(image))[0])
    for part, stems in lists.items():
        if part:
            made.files[f"ImageSets/Main/{part}.txt"] = "".join(f"{stem}\n" for stem in stems).encode()
    used = {int(label) for label in found.objects.class_A}
    made.lost["classes without an object"] += len(found.classes) - len(used)
    made.lost["the order of classes, which becomes that of their names"] += found.classes != sorted(found.classes)
    return made


def _annotation(found: Boxes, id: int, image: str, made: Written) -> bytes:
    root = ET.Element("annotation")
    _text(root, "folder", _FOLDER.rstrip("/"))
    _text(root, "filename", "".join(c if c.isprintable() else "?" for c in posixpath.basename(image)))
    size = ET.SubElement(root, "size")
    for side, value in zip(("width", "height"), found.size_N2[id].tolist(), strict=True):
        _text(size, side, str(value))
    _text(size, "depth", "3")
    table = found.objects
    here = table.image(id)
    for at in range(here.start, here.stop):
        box = table.box_A4[at].tolist()
        if box[2] - box[0] <= 1 or box[3] - box[1] <= 1:
            made.lost["boxes of a pixel or less, left out"] += 1
            continue
        extra = found.extra[at] if found.extra else {}
        crowd = bool(table.crowd_A[at])
        element = ET.SubElement(root, "object")
        _text(element, "name", found.classes[int(table.class_A[at])])
        for key in _KEYS:
            if isinstance(extra.get(key), str | int) and str(extra[key]).isprintable():
                _text(element, key, str(extra[key]))
        _text(element, "difficult", "1" if crowd or table.difficult_A[at] else "0")
        corners = ET.SubElement(element, "bndbox")
        for corner, value in zip(CORNERS, (box[0] + 1, box[1] + 1, box[2], box[3]), strict=True):
            _text(corners, corner, number_text(value))
        made.lost["crowd regions, written as difficult"] += crowd
        made.lost["outlines"] += bool({"segmentation", "points"} & extra.keys())
        made.lost["areas of their own"] += abs(float(table.area_A[at]) - (box[2] - box[0]) * (box[3] - box[1])) > 1e-6
    ET.indent(root)
    return bytes(ET.tostring(root, "utf-8")) + b"\n"


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text
