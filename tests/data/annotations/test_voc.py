"""Pascal VOC as tools write it, and what is wrong with some of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotated import dataset, photo, xml
from fewer.core.errors import DataError
from fewer.data.sources import open_source
from fewer.data.sources.voc import opened


def test_boxes_are_one_based_and_inclusive(tmp_path: Path) -> None:
    boxes = [("b", 1, 1, 40, 30), ("a", 3.5, 4, 10, 9)]
    dataset(tmp_path, {"JPEGImages/x.jpg": photo(1), "Annotations/x.xml": xml("x.jpg", boxes)})
    source = opened("voc:x", str(tmp_path))
    assert source.classes == ["a", "b"], "sorted: VOC has no list of classes"
    assert source.objects.box_A4.tolist() == [[0, 0, 40, 30], [2.5, 3, 10, 9]]
    assert source.objects.class_A.tolist() == [1, 0]
    assert source.objects.area_A.tolist() == [1200, 45]
    assert source.annotations == "boxes"


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("JPEGImages/x.jpg", "Annotations/x.xml"),
        ("images/x.JPG", "annotations/x.xml"),
        ("x.jpg", "x.xml"),
        ("train/x.jpg", "train/x.xml"),
        ("images/train/x.jpg", "annotations/train/x.xml"),
        ("JPEGImages/camera 1/x.jpg", "Annotations/camera 1/x.xml"),
        ("pictures/x.jpg", "Annotations/x.xml"),
    ],
)
def test_an_annotation_finds_its_image(tmp_path: Path, image: str, annotation: str) -> None:
    dataset(tmp_path, {image: photo(1), annotation: xml("elsewhere.png", [("a", 2, 2, 9, 9)])})
    assert list(opened("voc:x", str(tmp_path)).names) == [image]


def test_the_file_name_counts_where_no_image_has_the_annotation_s_name(tmp_path: Path) -> None:
    files = {"JPEGImages/y.jpg": photo(1), "JPEGImages/z.jpg": photo(2)}
    dataset(tmp_path, {**files, "Annotations/0.xml": xml(r"C:\me\y.jpg", [("a", 2, 2, 9, 9)])})
    source = opened("voc:x", str(tmp_path))
    assert list(source.names) == ["JPEGImages/y.jpg"]
    assert source.notes == ["1 image that no annotation names: left out (first: JPEGImages/z.jpg)"]


def test_images_of_one_name_in_two_folders_are_told_apart_or_refused(tmp_path: Path) -> None:
    box = [("a", 2, 2, 9, 9)]
    files = {f"images/{part}/x.jpg": photo(at) for at, part in enumerate(("one", "two"))}
    dataset(
        tmp_path, {**files, "annotations/one/x.xml": xml("x.jpg", box), "annotations/other/x.xml": xml("x.jpg", box)}
    )
    source = opened("voc:x", str(tmp_path))
    assert list(source.names) == ["images/one/x.jpg"]
    assert [fault.code for fault in source.found.faults] == ["image-ambiguous", "image-unannotated"]


def test_lists_say_which_images_train(tmp_path: Path) -> None:
    files = {f"JPEGImages/{i}.jpg": photo(i) for i in range(5)}
    files |= {f"Annotations/{i}.xml": xml(f"{i}.jpg", [("a", 2, 2, 9, 9)]) for i in range(5)}
    lists = {"train": "0\n3 \n", "val": "1\r\n", "test": "2 -1\n", "trainval": "0\n1\n3\n", "a_train": "0 1\n"}
    dataset(tmp_path, files | {f"ImageSets/Main/{name}.txt": text.encode() for name, text in lists.items()})
    source = opened("voc:x", str(tmp_path))
    assert {part: ids.tolist() for part, ids in source.parts.items()} == {"train": [0, 3], "val": [1], "test": [2]}
    assert source.notes == ["1 image of no split: not used"]
    (tmp_path / "ImageSets/Main/train.txt").unlink()
    (tmp_path / "ImageSets/Main/val.txt").unlink()
    parts = opened("voc:x", str(tmp_path)).parts
    assert {part: ids.tolist() for part, ids in parts.items()} == {"train": [0, 1, 3], "test": [2]}


def test_names_may_end_as_flags_do(tmp_path: Path) -> None:
    files = {f"JPEGImages/photo {i}.jpg": photo(i) for i in range(3)}
    files |= {f"Annotations/photo {i}.xml": xml(f"photo {i}.jpg", [("a", 2, 2, 9, 9)]) for i in range(3)}
    lists = {"train": b"photo 0\nphoto 1\n", "val": b"photo 2 -1\n"}
    dataset(tmp_path, files | {f"ImageSets/Main/{name}.txt": text for name, text in lists.items()})
    source = opened("voc:x", str(tmp_path))
    assert {part: ids.tolist() for part, ids in source.parts.items()} == {"train": [0, 1], "val": [2]}
    assert not source.notes


def test_an_image_stays_in_the_first_list_that_names_it(tmp_path: Path) -> None:
    files = {f"{i}.jpg": photo(i) for i in range(2)} | {f"{i}.xml": xml("", [("a", 2, 2, 9, 9)]) for i in range(2)}
    dataset(tmp_path, files | {"ImageSets/Main/train.txt": b"0\n", "ImageSets/Main/test.txt": b"0\n1\n7\n"})
    source = opened("voc:x", str(tmp_path))
    assert {part: ids.tolist() for part, ids in source.parts.items()} == {"train": [0], "test": [1]}
    assert [(fault.code, fault.reason) for fault in source.found.faults] == [
        ("image-in-two-splits", "test names it, and train, where it stays"),
        ("image-missing", "'7' names no annotated image"),
    ]


def test_lists_without_images_are_told(tmp_path: Path) -> None:
    files = {f"{i}.jpg": photo(i) for i in range(2)} | {f"{i}.xml": xml("", [("a", 2, 2, 9, 9)]) for i in range(2)}
    dataset(tmp_path, files | {"ImageSets/Main/train.txt": b"0\n1\n", "ImageSets/Main/val.txt": b"\n"})
    told = 'names no image of its own: data.val = "auto" takes another split, or holds out a share'
    assert opened("voc:x", str(tmp_path)).notes == [f"ImageSets/Main/val.txt {told}"]
    dataset(tmp_path, {"ImageSets/Main/train.txt": b"", "ImageSets/Main/val.txt": b"1\n"})
    source = opened("voc:x", str(tmp_path))
    assert source.notes == ["ImageSets/Main/train.txt names no image: no list counts, and there are no splits"]
    assert not source.parts


def test_difficult_objects_are_marked_and_empty_files_are_background(tmp_path: Path) -> None:
    files = {"a.xml": xml("a.jpg", [("c", 2, 2, 9, 9)], more="<difficult>1</difficult>"), "b.xml": xml("b.jpg")}
    dataset(tmp_path, {**files, "a.jpg": photo(1), "b.jpg": photo(2)})
    source = opened("voc:x", str(tmp_path))
    assert source.objects.difficult_A.tolist() == [True]
    assert source.objects.first_N1.tolist() == [0, 1, 1]
    assert not source.found.faults


@pytest.mark.parametrize(
    ("box", "code"),
    [
        (("a", 5, 5, 5, 5), "box-empty"),
        (("a", 5, 5, 5, 9), "box-empty"),
        (("a", 9, 5, 4, 9), "box-inverted"),
        (("a", 50, 5, 60, 9), "box-outside"),
        (("a", -70, 5, -60, 9), "box-outside"),
        (("a", "nan", 5, 6, 7), "box-malformed"),
        (("a", "1e999", 5, 6, 7), "box-malformed"),
        (("a", "", 5, 6, 7), "box-malformed"),
        (("a", "four", 5, 6, 7), "box-malformed"),
        (("", 4, 5, 6, 7), "unknown-category"),
    ],
)
def test_what_is_no_box_is_left_out_with_a_reason(
    tmp_path: Path, box: tuple[str, float, float, float, float], code: str
) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "x.xml": xml("x.jpg", [("a", 2, 3, 9, 9), box])})
    source = opened("voc:x", str(tmp_path))
    assert source.objects.box_A4.tolist() == [[1, 2, 9, 9]]
    assert [fault.code for fault in source.found.faults] == [code]
    assert len(source.notes) == 1
    assert source.notes[0].startswith("1 ")


def test_a_box_over_the_edge_is_cut_and_a_pixel_outside_is_no_fault(tmp_path: Path) -> None:
    boxes = [("a", 0, 0, 9, 31), ("a", 30, 20, 55, 25)]
    dataset(tmp_path, {"x.jpg": photo(1), "x.xml": xml("x.jpg", boxes)})
    source = opened("voc:x", str(tmp_path))
    assert source.objects.box_A4.tolist() == [[0, 0, 9, 30], [29, 19, 40, 25]]
    assert [fault.reason for fault in source.found.faults] == ["box 29, 19, 55, 25 of 40x30 pixels"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no sound XML"),
        (b"<annotation><object></annotation>", "no sound XML: mismatched tag"),
        (b"<annotation>" * 100_000, "no sound XML: no element found"),
        (b'<!DOCTYPE a [<!ENTITY b "bb">]><annotation>&b;</annotation>', "declares a document type or entities"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "declares a document type or entities"),
        (b"<annotation>&bomb;</annotation>", "no sound XML: undefined entity"),
        (b"\xff\xfe\xfa", "no UTF-8 text"),
        (b"<annotation>\xe9</annotation>", "no UTF-8 text"),
    ],
)
def test_hostile_and_broken_xml_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    good = {"y.jpg": photo(2), "y.xml": xml("y.jpg", [("a", 2, 3, 9, 9)])}
    dataset(tmp_path, {**good, "x.jpg": photo(1), "x.xml": content})
    with pytest.raises(DataError, match=rf"x\.xml: .*{reason}.*fewer data check"):
        opened("voc:x", str(tmp_path))


@pytest.mark.parametrize("coding", ["utf-8", "utf-16", "gb2312", "iso-8859-1"])
def test_the_encoding_that_a_file_states_counts(tmp_path: Path, coding: str) -> None:
    name = "caf\u00e9" if coding == "iso-8859-1" else "\u732b"
    text = f"<?xml version='1.0' encoding='{coding}'?>\n{xml('x.jpg', [(name, 2, 3, 9, 9)]).decode()}"
    dataset(tmp_path, {"x.jpg": photo(1), "x.xml": text.encode(coding)})
    assert opened("voc:x", str(tmp_path)).classes == [name]
    entity = text.replace("?>", '?><!DOCTYPE a [<!ENTITY b "b">]>', 1)
    dataset(tmp_path, {"x.xml": entity.encode(coding)})
    with pytest.raises(DataError, match="declares a document type"):
        opened("voc:x", str(tmp_path))


def test_deep_xml_is_no_harm(tmp_path: Path) -> None:
    deep = b"<annotation>" + b"<object>" * 100_000 + b"</object>" * 100_000 + b"</annotation>"
    good = {"y.jpg": photo(2), "y.xml": xml("y.jpg", [("a", 2, 3, 9, 9)])}
    source = opened("voc:x", dataset(tmp_path, {**good, "x.jpg": photo(1), "x.xml": deep}))
    assert [fault.code for fault in source.found.faults] == ["box-malformed"]


def test_other_xml_is_no_annotation(tmp_path: Path) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "x.xml": xml("x.jpg", [("a", 2, 3, 9, 9)]), "pom.xml": b"<project/>"})
    assert not opened("voc:x", str(tmp_path)).found.faults


def test_paths_in_files_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(photo(3))
    home = tmp_path / "home"
    files = {"Annotations/x.xml": xml("../../secret.jpg", [("a", 2, 3, 9, 9)]), "JPEGImages/y.jpg": photo(1)}
    dataset(home, {**files, "Annotations/y.xml": xml("y.jpg", [("a", 2, 3, 9, 9)])})
    source = opened("voc:x", str(home))
    assert list(source.names) == ["JPEGImages/y.jpg"]
    assert [fault.code for fault in source.found.faults] == ["image-missing"]


def test_a_folder_without_annotations_says_so(tmp_path: Path) -> None:
    dataset(tmp_path, {"x.jpg": photo(1)})
    with pytest.raises(DataError, match=r"no annotated images found .x.jpg: no XML file for it."):
        open_source(f"voc:{tmp_path}")
    dataset(tmp_path, {"x.xml": xml("x.jpg")})
    with pytest.raises(DataError, match="no box in 1 images found"):
        open_source(f"voc:{tmp_path}")
    with pytest.raises(DataError, match="is no folder"):
        open_source(f"voc:{tmp_path}/none")
