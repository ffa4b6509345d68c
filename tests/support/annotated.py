"""Small data sets with boxes and masks, in the formats that annotation tools write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import Files, encoded, picture, written

Box = tuple[str, float, float, float, float]  # class, and edges as a format writes them


def photo(seed: int, width: int = 40, height: int = 30, orientation: int = 1) -> bytes:
    """A JPEG of some pixels, stored `width` x `height`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(seed, width, height), "JPEG", exif=exif)


def xml(name: str, boxes: Sequence[Box] = (), size: tuple[int, int] | None = (40, 30), more: str = "") -> bytes:
    """A VOC annotation."""
    objects = "".join(
        f"<object><name>{label}</name>{more}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom in boxes
    )
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation><filename>{name}</filename>{stated}{objects}</annotation>".encode()


def coco(
    images: Sequence[Mapping[str, Any]], objects: Sequence[Mapping[str, Any]], categories: Mapping[int, str]
) -> bytes:
    """A COCO file; objects without an id get one."""
    content = {
        "images": list(images),
        "annotations": [{"id": at, **each} for at, each in enumerate(objects)],
        "categories": [{"id": id, "name": name, "supercategory": "none"} for id, name in categories.items()],
    }
    return json.dumps(content).encode()


def image(id: int, name: str, width: int = 40, height: int = 30) -> dict[str, Any]:
    return {"id": id, "file_name": name, "width": width, "height": height}


def thing(image_id: int, category_id: int, *bbox: float, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


def mask(ids: Any, mode: str = "L", palette: Sequence[int] = ()) -> bytes:
    """A PNG of these ids, as grey values or as indexes."""
    found = Image.fromarray(np.asarray(ids, np.uint8))
    if mode == "P":
        found = Image.frombytes("P", found.size, found.tobytes())
        found.putpalette(palette or [value for i in range(256) for value in (255 - i, i, i // 2)])
    return encoded(found)


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """From now on no file whose path ends so can be opened; modes of files would not stop root."""
    real = open

    def refusing(path: Any, *args: Any, **more: Any) -> Any:
        if str(path).endswith(ending):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **more)

    monkeypatch.setattr("builtins.open", refusing)


def dataset(root: Path, files: Files) -> str:
    """Writes files below a folder; gives its path."""
    return str(written(root, files))
