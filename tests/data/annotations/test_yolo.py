"""YOLO's text files as tools write them, and what is wrong with some of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotated import dataset, photo
from fewer.core.errors import DataError
from fewer.data.sources.yolo import opened
from zoo import Files

BOX = b"0 0.5 0.5 0.5 0.2\n"  # of 40x30 pixels: 10, 12, 30, 18
YAML = b"train: images/train\nval: images/val\nnames: [a, b]\n"


def parts_of(root: Path) -> dict[str, list[str]]:
    source = opened("yolo:x", str(root))
    return {part: [source.names[i] for i in ids] for part, ids in source.parts.items()}


def test_boxes_are_shares_of_the_upright_picture(tmp_path: Path) -> None:
    files = {
        "images/x.jpg": photo(1),
        "labels/x.txt": BOX + b"1 0.25 0.5 0.5 1\n\n",
        "images/y.jpg": photo(2, orientation=6),
    }
    dataset(tmp_path, {**files, "labels/y.txt": b"1 0.5 0.25 1 0.5", "classes.txt": b"a\nb\n"})
    source = opened("yolo:x", str(tmp_path))
    assert source.objects.box_A4.tolist() == [[10, 12, 30, 18], [0, 0, 20, 30], [0, 0, 30, 20]]
    assert source.objects.class_A.tolist() == [0, 1, 1]
    assert source.classes == ["a", "b"]
    assert not source.notes


def test_the_box_of_a_polygon_is_around_it(tmp_path: Path) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "x.txt": b"0 0.25 0.1 0.5 0.5 0.1 0.9\n0 0.5 0.5 0.5 0.2 0.97\n"})
    source = opened("yolo:x", str(tmp_path))
    assert source.objects.box_A4.tolist() == [[4, 3, 20, 27], [10, 12, 30, 18]], "a sixth value is a confidence"
    assert source.notes == ["there are no class names (data.yaml, obj.names or classes.txt): numbers are taken"]
    assert source.classes == ["0"]


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (3, 3), (4, 3)])
def test_keypoints_behind_a_box_are_not_its_outline(tmp_path: Path, shape: tuple[int, int]) -> None:
    more = b" 0.9" * shape[0] * shape[1]
    yaml = b"kpt_shape: [%d, %d] # number, dimensions\nnames: [a]\nkpt_names:\n  0:\n    - nose\n" % shape
    lines = BOX + BOX[:-1] + more + b"\n" + BOX[:-1] + more + b" 0.97\n" + b"0" + b" 0.9" * 20
    source = opened("yolo:x", dataset(tmp_path, {"x.jpg": photo(1), "x.txt": lines, "data.yaml": yaml}))
    assert source.objects.box_A4.tolist() == [[10, 12, 30, 18]] * 3
    assert source.notes[0] == "data.yaml: there are keypoints (kpt_shape): boxes are used, and keypoints are not"
    (fault,) = source.found.faults
    assert fault.reason.startswith(f"line 4: 21 values: allowed: a class and a box, or {shape[0] * shape[1]} values of")


def trees() -> dict[str, Files]:
    def of(pattern: str, labels: str, train: str = "train", val: str = "val") -> Files:
        paths = [pattern.format(part) for part in (train, val)] + [labels.format(part) for part in (train, val)]
        return dict(zip(paths, (photo(1), photo(2), BOX, BOX), strict=True))

    split = of("images/{}/x.jpg", "labels/{}/x.txt")
    flow = of("{}/images/x.jpg", "{}/labels/x.txt", val="valid")
    flat = {"images/x.jpg": photo(1), "images/y.jpg": photo(2), "labels/x.txt": BOX, "labels/y.txt": BOX}
    lists = {"train.txt": b"./images/x.jpg\n", "val.txt": b"/home/me/set/images/y.jpg\n"}
    cvat = {"obj_train_data/x.jpg": photo(1), "obj_train_data/x.txt": BOX, "obj.names": b"a\nb\n"}
    return {
        "ultralytics": {**split, "data.yaml": b"path: ../sets/mine\n" + YAML},
        "absolute": {**split, "data.yaml": YAML.replace(b"images", b"/home/me/mine/images")},
        "roboflow": {**flow, "data.yaml": b"train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['a', 'b']\n"},
        "folders": {**split, "data.yaml": b"names:\n  0: a\n  1: b\n"},
        "lists": {**flat, **lists, "data.yaml": b"train: train.txt\nval: val.txt\nnames: {0: a, 1: b}\n"},
        "beside": {**of("{}/x.jpg", "{}/x.txt"), "classes.txt": b"a\nb\n"},
        "cvat": {**cvat, "train.txt": b"data/obj_train_data/x.jpg\n"},
    }


@pytest.mark.parametrize("kind", trees())
def test_the_trees_of_tools_are_read(tmp_path: Path, kind: str) -> None:
    source = opened("yolo:x", dataset(tmp_path, trees()[kind]))
    assert source.classes == ["a", "b"]
    assert len(source.objects.class_A) == len(source), "each image has its box"
    if kind != "cvat":
        assert sorted(source.parts) == ["train", "val"]
        assert [len(ids) for ids in source.parts.values()] == [1, 1]
    assert not source.notes


def test_the_data_file_may_be_named(tmp_path: Path) -> None:
    dataset(tmp_path, trees()["ultralytics"])
    assert len(opened("yolo:x", f"{tmp_path}/data.yaml")) == 2
    yaml = b"train: images/val\nnames: [mast, tower]\n"
    source = opened("yolo:x", f"{dataset(tmp_path, {'mine.yaml': yaml})}/mine.yaml")
    assert (source.classes, source.parts["train"].tolist()) == (["mast", "tower"], [1])
    with pytest.raises(DataError, match=r"other\.yaml: there is no such file"):
        opened("yolo:x", f"{tmp_path}/other.yaml")


def test_images_without_labels_are_background(tmp_path: Path) -> None:
    files = {"images/x.jpg": photo(1), "labels/x.txt": BOX, "images/y.jpg": photo(2), "images/z.jpg": photo(3)}
    source = opened("yolo:x", dataset(tmp_path, {**files, "labels/z.txt": b"", "classes.txt": b"a\n"}))
    assert source.objects.first_N1.tolist() == [0, 1, 1, 1]
    assert source.notes == ["1 image without a file of labels: taken as background (first: images/y.jpg)"]


def test_images_may_be_called_as_lists_are(tmp_path: Path) -> None:
    files = {"train.jpg": photo(1), "train.txt": BOX, "test.jpg": photo(2), "test.txt": BOX, "val.txt": b"train.jpg\n"}
    source = opened("yolo:x", dataset(tmp_path, files | {"classes.txt": b"a\nb\n"}))
    assert len(source.objects.class_A) == 2
    assert not source.notes


def test_a_split_without_any_labels_is_not_used(tmp_path: Path) -> None:
    dataset(tmp_path, {**trees()["folders"], "images/test/0.jpg": photo(3), "images/test/1.jpg": photo(4)})
    source = opened("yolo:x", str(tmp_path))
    assert sorted(source.parts) == ["train", "val"]
    assert source.notes == [
        "none of the 2 images of test has a file of labels: they are not used",
        "2 images of no split: not used",
    ]


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ("2 0.5 0.5 0.1 0.1", "unknown-category", "line 2: class '2': allowed: 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "unknown-category", "line 2: class '-1': allowed: 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "unknown-category", "line 2: class '0.5': allowed: 0 to 1"),
        ("0 0.5 0.5 0.1", "box-malformed", "line 2: 4 values: allowed: a class and a box or points"),
        ("0 0.5 0.5 0.1 0.1 0.1 0.1 0.1", "box-malformed", "line 2: 8 values: allowed: a class and a box or points"),
        ("0 nan 0.5 0.1 0.1", "box-malformed", "line 2: '0 nan 0.5 0.1 0.1': allowed: numbers"),
        ("0 1e400 0.5 0.1 0.1", "box-malformed", "line 2: '0 1e400 0.5 0.1 0.1': allowed: numbers"),
        ("a 0.5 0.5 0.1 0.1", "box-malformed", "line 2: 'a 0.5 0.5 0.1 0.1': allowed: numbers"),
        ("0 0.5 0.5 0 0.1", "box-empty", "box 20, 13.5, 20, 16.5 of 40x30 pixels"),
        ("0 0.5 0.5 -0.1 0.1", "box-inverted", "box 22, 13.5, 18, 16.5 of 40x30 pixels"),
        ("0 320 240 20 20", "box-outside", "box 12400, 6900, 13200, 7500 of 40x30 pixels"),
    ],
)
def test_what_is_no_label_is_left_out_with_a_reason(tmp_path: Path, line: str, code: str, reason: str) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "x.txt": BOX + line.encode(), "classes.txt": b"a\nb\n"})
    source = opened("yolo:x", str(tmp_path))
    assert source.objects.box_A4.tolist() == [[10, 12, 30, 18]]
    assert [(fault.code, fault.reason) for fault in source.found.faults] == [(code, reason)]


@pytest.mark.parametrize(
    ("yaml", "reason"),
    [
        (b"names: 5\n", "names is 5: allowed: a list, or numbers from 0 with names"),
        (b"names:\n  a: b\n", "names is {'a': 'b'}"),
        (b"names:\n  999999999: b\n", "names is {999999999: 'b'}"),
        (b"names: [a, a]\n", "the name 'a' occurs twice"),
        (b"names: !!python/object/apply:os.system ['ls']\n", "names is "),
        (b"names: [a\n", r"data.yaml:1: no '\]' that closes it"),
        (b"names: &x [a]\nmore: *x\n  - 1\n", "data.yaml:3: a value that goes on in another line"),
        (b"a\n", "data.yaml:1: no `key: value`"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, yaml: bytes, reason: str) -> None:
    dataset(tmp_path, {"x.jpg": photo(1), "x.txt": BOX, "data.yaml": yaml})
    with pytest.raises(DataError, match=reason):
        opened("yolo:x", str(tmp_path))


def test_paths_in_files_lead_nowhere_and_what_is_missing_is_told(tmp_path: Path) -> None:
    dataset(tmp_path, {"secret/x.jpg": photo(3)})
    yaml = b"train: images/train\nval: ../secret\ntest: /etc\nnames: [a]\n"
    files = {"images/train/x.jpg": photo(1), "labels/train/x.txt": BOX, "labels/train/y.txt": BOX, "data.yaml": yaml}
    source = opened("yolo:x", dataset(tmp_path / "home", files))
    assert {part: len(ids) for part, ids in source.parts.items()} == {"train": 1}
    assert source.notes == [
        "data.yaml: val is '../secret', which is not here",
        "data.yaml: test is '/etc', which is not here",
        "1 annotated image that cannot be found: left out (first: labels/train/y.txt)",
    ]
