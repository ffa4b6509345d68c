"""Whatever files hold: readers give boxes, masks and faults, or say what is wrong; never another error."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotated import dataset, mask, photo
from fewer.core.errors import DataError
from fewer.data.annotations.boxes import Boxes
from fewer.data.sources import SOURCES, open_source
from fewer.data.sources.masks import opened
from zoo import Files

PHOTO = photo(1)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), st.text(max_size=3),
    st.sampled_from(["x.jpg", "../x.jpg", "a", 1, 1.0, "1"]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def rows(*keys: str) -> st.SearchStrategy[Any]:
    likely = st.one_of(scalars, st.lists(scalars, min_size=4, max_size=4), anything)
    return st.lists(st.one_of(anything, st.fixed_dictionaries({}, optional=dict.fromkeys(keys, likely))), max_size=4)


def sound(kind: str, files: Files) -> None:
    """Reads files; what comes back must be a table of boxes inside their pictures."""
    with tempfile.TemporaryDirectory() as folder:
        dataset(Path(folder), {"x.jpg": PHOTO, **files})
        with contextlib.suppress(DataError):
            found: Boxes = SOURCES.module(kind).listed(f"{kind}:{folder}", folder, keeps=True)
            box_A4 = found.objects.box_A4
            assert np.isfinite(box_A4).all()
            assert (box_A4[:, 2:] > box_A4[:, :2]).all()
            assert (box_A4 >= 0).all()
            assert (box_A4 <= [40, 30, 40, 30]).all()
            assert np.isfinite(found.objects.area_A).all()
            assert (found.objects.area_A > 0).all()
            assert ((found.objects.class_A >= 0) & (found.objects.class_A < len(found.classes))).all()
            assert set(found.names) <= {"x.jpg"}
            assert len(found.extra) == len(found.objects.class_A)
            open_source(f"{kind}:{folder}")


@quick
@given(
    rows("id", "file_name", "width", "height"),
    rows("image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
    rows("id", "name", "supercategory"), st.booleans(),
)  # fmt: skip
def test_any_json(images: Any, annotations: Any, categories: Any, is_known: bool) -> None:
    if is_known:
        images = [{"id": 1, "file_name": "x.jpg", "width": 40, "height": 30}, *images]
        categories = [{"id": 1, "name": "a"}, *categories]
    content = {"images": images, "annotations": annotations, "categories": categories}
    sound("coco", {"a.json": json.dumps(content).encode()})


@quick
@given(anything)
def test_any_json_at_all(content: Any) -> None:
    sound("coco", {"_annotations.coco.json": json.dumps(content).encode()})


texts = st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=6), st.just("5"))


@quick
@given(st.lists(st.tuples(texts, texts, texts, texts, texts), max_size=4), st.binary(max_size=40))
def test_any_xml(objects: list[tuple[str, ...]], tail: bytes) -> None:
    import xml.etree.ElementTree as ET

    root = ET.Element("annotation")
    for values in objects:
        element = ET.SubElement(root, "object")
        for parent, tag, value in zip(
            [element, *[ET.SubElement(element, "bndbox")] * 4],
            ["name", "xmin", "ymin", "xmax", "ymax"],
            values,
            strict=True,
        ):
            ET.SubElement(parent, tag).text = value
    sound("voc", {"x.xml": ET.tostring(root) + tail, "y.xml": tail})


@quick
@given(st.lists(st.lists(texts, max_size=9), max_size=4), st.text(max_size=40), st.binary(max_size=30))
def test_any_labels(lines: list[list[str]], yaml: str, raw: bytes) -> None:
    content = "\n".join(" ".join(line) for line in lines).encode()
    sound("yolo", {"x.txt": content})
    sound("yolo", {"x.txt": content, "data.yaml": f"names: {yaml}\ntrain: {yaml}\n".encode()})
    sound("yolo", {"x.txt": raw, "classes.txt": raw})


@quick
@given(st.binary(max_size=80), st.integers(0, 80), st.binary(max_size=60))
def test_any_mask(raw: bytes, at: int, names: bytes) -> None:
    png = mask(np.zeros((30, 40)))
    for content in (raw, png[:at] + raw + png[at + len(raw) :]):
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(DataError):
            files = {"images/x.jpg": PHOTO, "masks/x.png": content, "classes.txt": names}
            source = opened("masks:x", dataset(Path(folder), files))
            ids = source.read_mask(0)
            assert ids.shape == (30, 40)
            assert set(np.unique(ids)) <= {*range(len(source.classes)), 255}
