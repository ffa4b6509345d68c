"""The kind of a folder by its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotated import coco, dataset, mask, photo, xml
from fewer.core.errors import DataError
from fewer.data.sources import named, open_source
from zoo import Files, encoded, picture

JPG, PNG, BOX = photo(1), mask([[0, 1]]), b"0 0.5 0.5 0.1 0.1\n"
JSON = coco([], [], {1: "a"})


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("coco", {"train/x.jpg": JPG, "train/_annotations.coco.json": JSON}),
        ("coco", {"train2017/x.jpg": JPG, "annotations/instances_train2017.json": JSON}),
        ("coco", {"images/x.jpg": JPG, "result.json": JSON}),
        ("voc", {"JPEGImages/x.jpg": JPG, "Annotations/x.xml": xml("x.jpg")}),
        ("voc", {"train/x.jpg": JPG, "train/x.xml": b'<?xml version="1.0"?>\n' + xml("x.jpg")}),
        ("yolo", {"images/train/x.jpg": JPG, "labels/train/x.txt": BOX, "data.yaml": b"names: [a]"}),
        ("yolo", {"images/x.jpg": JPG, "labels/x.txt": BOX}),
        ("yolo", {"x.jpg": JPG, "x.txt": BOX, "classes.txt": b"a\n"}),
        ("masks", {"train/x.jpg": JPG, "trainannot/x.png": PNG}),
        ("masks", {"images/x.jpg": JPG, "masks/x.png": PNG}),
        ("masks", {"train_images/x.jpg": JPG, "train_masks/x.png": PNG}),
        ("masks", {"JPEGImages/x.jpg": JPG, "SegmentationClass/x.png": PNG}),
        ("folder", {"cat/x.jpg": JPG, "dog/x.jpg": JPG}),
        ("folder", {"train/cat/x.jpg": JPG, "train/cat/x.txt": b"a caption\n", "train/dog/x.jpg": JPG}),
        ("folder", {"cat/x.jpg": JPG, "cat/x.json": b'{"tags": []}', "dog/y.jpg": JPG, "pom.xml": b"<project/>"}),
        ("folder", {"masks/x.jpg": JPG, "no masks/y.jpg": JPG}),
        ("folder", {"with_mask/x.jpg": JPG, "without_mask/x.jpg": JPG}),
        ("folder", {"images/1.jpg": JPG, "labels/2.jpg": JPG}),
        ("folder", {"BCCD/JPEGImages/x.jpg": JPG, "BCCD/Annotations/x.xml": xml("x.jpg"), "other/y.jpg": JPG}),
    ],
)
def test_a_folder_is_what_its_files_say(tmp_path: Path, kind: str, files: Files) -> None:
    dataset(tmp_path / "set", files)
    assert named("set", tmp_path) == f"{kind}:set"


def test_a_file_of_annotations_is_a_source(tmp_path: Path) -> None:
    dataset(tmp_path, {"a.json": JSON, "data.yaml": b"names: [a]", "x.png": encoded(picture(1))})
    assert named("a.json", tmp_path) == "coco:a.json"
    assert named("data.yaml", tmp_path) == "yolo:data.yaml"
    assert named("x.png", tmp_path) == "x.png"


def test_folders_that_only_voc_has_are_voc_without_xml_files_too(tmp_path: Path) -> None:
    dataset(tmp_path / "set", {"JPEGImages/x.jpg": photo(1), "JPEGImages/y.jpg": photo(2)})
    assert named("set", tmp_path) == "folder:set"
    (tmp_path / "set" / "Annotations").mkdir()
    assert named("set", tmp_path) == "voc:set"
    with pytest.raises(DataError, match=r"no annotated images found \(JPEGImages/x.jpg: no XML file for it\)"):
        open_source(f"voc:{tmp_path / 'set'}")


def test_an_archive_that_was_unpacked_may_hold_annotations_in_its_only_folder(tmp_path: Path) -> None:
    files: Files = {"JPEGImages/x.jpg": JPG, "Annotations/x.xml": xml("x.jpg")}
    dataset(tmp_path / "set" / "BCCD", files)
    dataset(tmp_path / "set", {"README.txt": b"", "__MACOSX/x.txt": b"", ".cache/x.txt": b""})
    assert named("set", tmp_path) == "voc:set/BCCD"
    assert named(str(tmp_path / "set/"), Path("elsewhere")) == f"voc:{tmp_path}/set/BCCD"
    dataset(tmp_path / "set", {"x.jpg": JPG})
    assert named("set", tmp_path) == "folder:set"
    (tmp_path / "set" / "x.jpg").unlink()
    dataset(tmp_path / "set", {"other/x.jpg": JPG})
    assert named("set", tmp_path) == "folder:set"
    dataset(tmp_path / "one", {"cat/x.jpg": JPG})
    assert named("one", tmp_path) == "folder:one"
