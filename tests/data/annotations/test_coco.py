"""COCO JSON as tools write it, and what is wrong with some of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotated import coco, dataset, image, photo, refuse_to_read, thing
from fewer.core.errors import DataError
from fewer.data.sources.coco import opened


def plain(name: str = "x.jpg", *more: dict[str, Any]) -> bytes:
    return coco([image(1, name), *more], [thing(1, 1, 1, 2, 3, 4)], {1: "a"})


def test_categories_may_have_gaps_and_any_order(tmp_path: Path) -> None:
    things = [thing(7, 90, 1, 2, 3, 4, iscrowd=1, area=5.5), thing(3, 2, 0, 0, 1, 1), thing(7, 2, 2, 2, 2, 2, area=0)]
    content = coco(
        [image(7, "b.jpg"), image(3, "a.jpg"), image(9, "c.jpg")], things, {90: "toothbrush", 2: "car", 5: "bus"}
    )
    dataset(tmp_path, {name: photo(1) for name in ("a.jpg", "b.jpg", "c.jpg")} | {"any.json": content})
    source = opened("coco:x", str(tmp_path))
    assert source.classes == ["car", "bus", "toothbrush"], "by id, those without boxes too"
    assert list(source.names) == ["a.jpg", "b.jpg", "c.jpg"]
    table = source.objects
    assert table.first_N1.tolist() == [0, 1, 3, 3], "an image without annotations is background"
    assert table.box_A4.tolist() == [[0, 0, 1, 1], [1, 2, 4, 6], [2, 2, 4, 4]]
    assert table.class_A.tolist() == [0, 2, 0]
    assert table.crowd_A.tolist() == [False, True, False]
    assert table.area_A.tolist() == [1, 5.5, 4], "no area is that of the box"
    assert source.labels.tolist() == [0, 2, 0], "the rarest class of an image; the most frequent one of background"
    assert not source.notes


@pytest.mark.parametrize(
    ("name", "file", "path"),
    [
        ("x.jpg", "_annotations.coco.json", "x.jpg"),
        ("x.jpg", "annotations/instances_default.json", "images/x.jpg"),
        ("x.jpg", "annotations/instances_default.json", "images/default/x.jpg"),
        ("images/x.jpg", "result.json", "images/x.jpg"),
        ("images\\x.jpg", "result.json", "images/x.jpg"),
        ("camera/1/x.jpg", "annotations/instances_all.json", "images/camera/1/x.jpg"),
        ("../images/x.jpg", "annotations/a.json", "images/x.jpg"),
        ("/data/upload/3/x.jpg", "result.json", "images/x.jpg"),
    ],
)
def test_images_are_found_where_tools_put_them(tmp_path: Path, name: str, file: str, path: str) -> None:
    dataset(tmp_path, {path: photo(1), file: plain(name)})
    for place in (tmp_path, tmp_path / file):
        source = opened("coco:x", str(place))
        assert list(source.names) == [path]
        assert not source.parts


def test_the_folders_of_roboflow_are_splits(tmp_path: Path) -> None:
    files = {}
    for at, part in enumerate(("train", "valid", "test")):
        files |= {f"{part}/{at}.jpg": photo(at), f"{part}/_annotations.coco.json": plain(f"{at}.jpg")}
    dataset(tmp_path, {**files, "README.dataset.txt": b"hello"})
    source = opened("coco:x", str(tmp_path))
    assert {part: [source.names[i] for i in ids] for part, ids in source.parts.items()} == {
        "train": ["train/0.jpg"], "val": ["valid/1.jpg"], "test": ["test/2.jpg"],
    }  # fmt: skip


def test_the_files_of_coco_itself_are_splits_and_captions_are_not_read(tmp_path: Path) -> None:
    files = {"train2017/1.jpg": photo(1), "val2017/1.jpg": photo(2), "annotations/captions_train2017.json": b"{}"}
    for part in ("train", "val"):
        files[f"annotations/instances_{part}2017.json"] = plain("1.jpg")
    source = opened("coco:x", dataset(tmp_path, files))
    assert {part: [source.names[i] for i in ids] for part, ids in source.parts.items()} == {
        "train": ["train2017/1.jpg"], "val": ["val2017/1.jpg"],
    }  # fmt: skip


def test_a_root_category_is_no_class(tmp_path: Path) -> None:
    content = json.loads(plain())
    content["categories"] = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "a", "supercategory": "cells"},
        {"id": 2, "name": "b", "supercategory": "cells"},
    ]
    dataset(tmp_path, {"x.jpg": photo(1), "a.json": json.dumps(content).encode()})
    source = opened("coco:x", str(tmp_path))
    assert source.classes == ["a", "b"]
    assert source.objects.class_A.tolist() == [0]
    assert source.notes == ["category 'cells' is the root of all others, and no class"]
    content["annotations"][0]["category_id"] = 0
    dataset(tmp_path, {"a.json": json.dumps(content).encode()})
    assert opened("coco:x", str(tmp_path)).classes == ["cells", "a", "b"], "one with boxes is a class"


@pytest.mark.parametrize(
    ("more", "code", "reason"),
    [
        (thing(5, 1, 1, 2, 3, 4), "unknown-image", "an annotation names image 5, which `images` has not"),
        (thing(1, 5, 1, 2, 3, 4), "unknown-category", "category id 5 is no class of a.json"),
        (thing(1, 1, 1, 2, 3), "box-malformed", "bbox [1, 2, 3] in a.json is no four numbers"),
        (thing(1, 1, 1, 2, 3, float("nan")), "box-malformed", "bbox [1, 2, 3, nan] in a.json is no four numbers"),
        (thing(1, 1, 1, 2, 3, 1e300), "box-malformed", "bbox [1, 2, 3, 1e+300] in a.json is no four numbers"),
        (thing(1, 1, 1, 2, 3, True), "box-malformed", "bbox [1, 2, 3, True] in a.json is no four numbers"),
        (thing(1, 1, 1, 2, 3, -4), "box-inverted", "box 1, 2, 4, -2 of 40x30 pixels"),
        (thing(1, 1, 1, 2, 0, 4), "box-empty", "box 1, 2, 1, 6 of 40x30 pixels"),
        ({"image_id": [1], "category_id": 1}, "unknown-image", "an annotation names image [1], which `images` has not"),
        ({"image_id": 1, "category_id": {}}, "unknown-category", "category id {} is no class of a.json"),
        ({"image_id": 1, "category_id": 1}, "box-malformed", "bbox None in a.json is no four numbers"),
    ],
)  # fmt: skip
def test_what_is_no_annotation_is_left_out_with_a_reason(
    tmp_path: Path, more: dict[str, Any], code: str, reason: str
) -> None:
    content = coco([image(1, "x.jpg")], [thing(1, 1, 1, 2, 3, 4), more], {1: "a"})
    source = opened("coco:x", dataset(tmp_path, {"x.jpg": photo(1), "a.json": content}))
    assert source.objects.box_A4.tolist() == [[1, 2, 4, 6]]
    assert [(fault.code, fault.reason) for fault in source.found.faults] == [(code, reason)]
    assert source.notes[0].endswith(": left out (first: " + source.found.faults[0].path + ")")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no sound JSON"),
        (b"[" * 100_000, "no sound JSON: maximum recursion depth"),
        (b'{"images": 1' + b"0" * 5000 + b"}", "no sound JSON: Exceeds the limit"),
        (b"[]", r"it holds \[\], not lists called images, annotations, categories"),
        (b'{"images": [], "annotations": {}}', "there is no list 'annotations' in it"),
        (b"\xff{}", "no UTF-8 text"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "_annotations.coco.json": content})
    with pytest.raises(DataError, match=rf"_annotations.coco.json: .*{reason}"):
        opened("coco:x", str(tmp_path))


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "a.json": plain(), "b.json": b"{}"})
    refuse_to_read(monkeypatch, "b.json")
    with pytest.raises(DataError, match=r"b.json: Permission denied; fix: make the file readable"):
        opened("coco:x", str(tmp_path))


def test_wrong_types_anywhere_are_findings(tmp_path: Path) -> None:
    content = {
        "images": [image(1, "x.jpg"), 5, {"id": 2}, {"id": None, "file_name": "x.jpg"}, image(1, "y.jpg"),
                   image(4, "no.jpg"), {"id": 6, "file_name": "x.jpg", "width": "w", "height": [1]}],
        "annotations": [thing(1, 1, 1, 2, 3, 4), None, "x", thing(4, 1, 1, 2, 3, 4), thing(6, 1, 1, 2, 3, 4)],
        "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}, {"name": "c"}, 5, {"id": True, "name": "d"}],
    }  # fmt: skip
    source = opened("coco:x", dataset(tmp_path, {"x.jpg": photo(1), "a.json": json.dumps(content).encode()}))
    assert source.classes == ["a"]
    assert len(source.objects.class_A) == 2, "two entries of one image are one image"
    assert sorted(fault.code for fault in source.found.faults) == [
        "image-missing", "image-missing", "unknown-category", "unknown-category", "unknown-category",
        "unknown-category", "unknown-image", "unknown-image", "unknown-image",
    ]  # fmt: skip


def test_an_object_without_a_box_has_that_around_its_polygons(tmp_path: Path) -> None:
    outlines: list[Any] = [
        [[1, 2, 5, 2, 5, 9.5], [3, 1, 3, 2, 7, 2]],
        [[1, 2, 5, 2]],
        [],
        {"counts": "x"},
        [[1, 2, 3, 4, 5, "x"]],
    ]
    things = [{"image_id": 1, "category_id": 1, "segmentation": each} for each in outlines]
    content = coco([image(1, "x.jpg")], things, {1: "a"})
    source = opened("coco:x", dataset(tmp_path, {"x.jpg": photo(1), "a.json": content}))
    assert source.objects.box_A4.tolist() == [[1, 1, 7, 9.5]]
    assert [fault.code for fault in source.found.faults] == ["box-malformed"] * 4


def test_paths_in_files_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(photo(3))
    content = coco(
        [image(1, "../secret.jpg"), image(2, f"{tmp_path}/secret.jpg"), image(3, "x.jpg")],
        [thing(3, 1, 1, 2, 3, 4)], {1: "a"},
    )  # fmt: skip
    source = opened("coco:x", dataset(tmp_path / "home", {"x.jpg": photo(1), "a.json": content}))
    assert list(source.names) == ["x.jpg"]
    assert [fault.code for fault in source.found.faults] == ["image-missing"] * 2


def test_several_files_of_one_split_are_a_question(tmp_path: Path) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "a.json": plain(), "b.json": plain(), "notes.json": b"{}"})
    with pytest.raises(DataError, match=r"which of these files is it. a.json, b.json; .*fix: coco:.*/a.json"):
        opened("coco:x", str(tmp_path))


def test_an_image_in_two_splits_stays_in_training_and_one_that_nobody_names_is_told(tmp_path: Path) -> None:
    files = {"images/x.jpg": photo(1), "images/y.jpg": photo(2), "images/z.jpg": photo(3)}
    files |= {"annotations/train.json": plain(), "annotations/val.json": plain("x.jpg", image(2, "y.jpg"))}
    source = opened("coco:x", dataset(tmp_path, files))
    assert {part: ids.tolist() for part, ids in source.parts.items()} == {"train": [0], "val": [1]}
    assert len(source.objects.class_A) == 1
    assert [(fault.code, fault.path) for fault in source.found.faults] == [
        ("image-in-two-splits", "images/x.jpg"), ("image-unannotated", "images/z.jpg"),
    ]  # fmt: skip
