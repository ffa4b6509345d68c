"""Masks as tools write them: ids are read as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotated import dataset, mask, photo
from fewer.core.errors import DataError
from fewer.data.annotations.mask_values import MaskError
from fewer.data.sources.masks import opened
from zoo import Files, bare_png, encoded, picture

IDS = np.arange(6, dtype=np.uint8).reshape(2, 3) % 3
NAMES = {"classes.txt": b"road\ncar\ntree\n"}


def small(seed: int, orientation: int = 1) -> bytes:
    return photo(seed, 3, 2, orientation)


@pytest.mark.parametrize(
    ("picture_path", "mask_path"),
    [
        ("train/x.jpg", "trainannot/x.png"),
        ("images/x.jpg", "masks/x.png"),
        ("images/x.jpg", "labels/x.png"),
        ("images/train/x.jpg", "annotations/train/x.png"),
        ("train/images/x.jpg", "train/masks/x.png"),
        ("JPEGImages/x.jpg", "SegmentationClass/x.png"),
        ("train/x.jpg", "train_labels/x.png"),
        ("train/x.jpg", "train/x_mask.png"),
        ("train/x.png", "train_labels/x_L.png"),
        ("train_images/x.jpg", "train_masks/x.png"),
        ("images/x.jpg", "labels/x_seg.png"),
        ("x.jpg", "masks/x.png"),
        ("images/a/b/x.png", "masks/a/b/x.png"),
    ],
)
def test_a_mask_belongs_to_the_picture_of_its_name(tmp_path: Path, picture_path: str, mask_path: str) -> None:
    other = {"SegmentationObject/x.png": mask(IDS)} if "SegmentationClass" in mask_path else {}
    dataset(tmp_path, {picture_path: small(1), mask_path: mask(IDS), **other, **NAMES})
    source = opened("masks:x", str(tmp_path))
    assert list(source.names) == [picture_path]
    assert source.classes == ["road", "car", "tree"]
    assert source.train_classes() == source.classes
    assert source.read_mask(0).tolist() == IDS.tolist()
    assert source.read_mask(0).dtype == np.uint8
    assert not source.notes


def test_folders_and_lists_are_splits(tmp_path: Path) -> None:
    files: Files = {}
    for at, part in enumerate(("train", "val", "test")):
        files |= {f"{part}/{at}.jpg": small(at), f"{part}annot/{at}.png": mask(IDS)}
    source = opened("masks:x", dataset(tmp_path / "a", {**files, **NAMES}))
    assert {part: [source.names[i] for i in ids] for part, ids in source.parts.items()} == {
        "train": ["train/0.jpg"], "val": ["val/1.jpg"], "test": ["test/2.jpg"],
    }  # fmt: skip
    files = {f"JPEGImages/{i}.jpg": small(i) for i in range(3)} | {
        f"SegmentationClass/{i}.png": mask(IDS) for i in range(3)
    }
    lists = {"ImageSets/Segmentation/train.txt": b"0\n2\n", "ImageSets/Segmentation/val.txt": b"1\n"}
    source = opened("masks:x", dataset(tmp_path / "b", {**files, **lists, **NAMES}))
    assert {part: ids.tolist() for part, ids in source.parts.items()} == {"train": [0, 2], "val": [1]}
    dataset(tmp_path / "b", {"ImageSets/Segmentation/train.txt": b""})
    source = opened("masks:x", str(tmp_path / "b"))
    assert not source.parts, "else all images would train, those of val too"
    assert source.notes[0].startswith("ImageSets/Segmentation/train.txt names no image: no list counts")


def bits(depth: int, colour: int) -> bytes:
    """A PNG of `IDS` in so many bits a value; grey (0), or of a palette (3)."""
    rows = b""
    for row in IDS.tolist():
        packed = 0
        for value in row:
            packed = packed << depth | value
        width = -(-3 * depth // 8)
        rows += b"\0" + (packed << (8 * width - 3 * depth)).to_bytes(width, "big")
    if colour == 0:
        return bare_png(3, 2, depth, 0, rows)
    image = Image.frombytes("P", (3, 2), IDS.tobytes())
    image.putpalette([9, 9, 9, 0, 0, 0, 200, 3, 3, 7, 7, 7][: 3 * 2**depth])
    return encoded(image, bits=depth)


@pytest.mark.parametrize(
    "content",
    [
        mask(IDS),
        mask(IDS, "P"),
        mask(IDS, "P", [0, 0, 0, 0, 0, 0, 255, 255, 255]),
        bits(2, 0),
        bits(4, 0),
        bits(2, 3),
        encoded(Image.fromarray(IDS.astype(np.int32), "I"), "TIFF"),
        encoded(Image.fromarray(np.stack([IDS] * 3, 2))),
        encoded(Image.merge("RGBA", [Image.fromarray(IDS)] * 3 + [Image.new("L", (3, 2), 255)])),
        encoded(Image.merge("LA", [Image.fromarray(IDS), Image.new("L", (3, 2), 9)])),
    ],
    ids=[
        "grey",
        "palette",
        "palette with equal colours",
        "2 bits",
        "4 bits",
        "2-bit palette",
        "32 bits",
        "rgb",
        "rgba",
        "la",
    ],
)
def test_ids_stay_as_they_are_stored(tmp_path: Path, content: bytes) -> None:
    source = opened("masks:x", dataset(tmp_path, {"images/x.jpg": small(1), "masks/x.png": content, **NAMES}))
    assert source.read_mask(0).tolist() == IDS.tolist()


COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 0, 255]], np.uint8)


@pytest.mark.parametrize(
    "table",
    [
        {"class_dict.csv": b"name, r, g, b\nroad,0,0,0\ncar,128,0,0\ntree,0,0,255\n"},
        {"labelmap.txt": b"# label:color_rgb:parts:actions\nroad:0,0,0::\ncar:128,0,0::\ntree:0,0,255::\n"},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colours_are_classes_by_a_table(tmp_path: Path, table: Files, mode: str) -> None:
    if mode == "RGB":
        content = encoded(Image.fromarray(COLOURS[IDS]))
    else:  # the palette has them in another order, as tools that sort colours write it
        content = mask((IDS + 1) % 3, "P", [*COLOURS[2], *COLOURS[0], *COLOURS[1]])
    source = opened("masks:x", dataset(tmp_path, {"images/x.jpg": small(1), "masks/x.png": content, **table}))
    assert source.read_mask(0).tolist() == IDS.tolist()
    assert source.classes == ["road", "car", "tree"]


def test_a_mask_of_grey_colours_counts_by_the_table(tmp_path: Path) -> None:
    files: Files = {"images/x.jpg": small(1), "images/y.jpg": small(2)}
    files["masks/x.png"] = encoded(Image.fromarray(np.array([[[255] * 3, [0] * 3, [255] * 3]] * 2, np.uint8)))
    files["masks/y.png"] = encoded(Image.fromarray(np.zeros((2, 3, 3), np.uint8)))
    files["class_dict.csv"] = b"name,r,g,b\nroad,255,255,255\nwater,0,0,0\nfield,0,255,0\n"
    source = opened("masks:x", dataset(tmp_path, files))
    assert [source.read_mask(id).tolist() for id in (0, 1)] == [[[0, 1, 0]] * 2, [[1, 1, 1]] * 2]
    (tmp_path / "masks/y.png").write_bytes(mask(IDS))  # grey values are the rows of the table, as before
    assert opened("masks:x", str(tmp_path)).read_mask(1).tolist() == IDS.tolist()


def test_the_classes_of_roboflow_have_values(tmp_path: Path) -> None:
    files = {
        "train/x.jpg": small(1),
        "train/x_mask.png": mask(IDS),
        "train/_classes.csv": b"Pixel Value, Class\n0, void\n1, a\n2, b\n",
    }
    source = opened("masks:x", dataset(tmp_path, files))
    assert source.classes == ["a", "b"]
    assert source.read_mask(0).tolist() == [[255, 0, 1], [255, 0, 1]]


def test_a_class_called_void_is_none_wherever_it_stands(tmp_path: Path) -> None:
    files = {"images/x.jpg": small(1), "masks/x.png": mask(np.array([[0, 1, 2], [2, 255, 0]]))}
    dataset(tmp_path, files)
    for text, classes, ids in (
        (b"a\nb\nUn-labelled\n", ["a", "b"], [[0, 1, 255], [255, 255, 0]]),
        (b"void\na\nb\n", ["a", "b"], [[255, 0, 1], [1, 255, 255]]),
        (b"a\nvoid space\nb\n", ["a", "void space", "b"], [[0, 1, 2], [2, 255, 0]]),
    ):
        (tmp_path / "classes.txt").write_bytes(text)
        source = opened("masks:x", str(tmp_path))
        assert (source.classes, source.read_mask(0).tolist()) == (classes, ids)
    source = opened("masks:x", str(tmp_path), ignore_index=0)
    assert (source.classes, source.read_mask(0).tolist()) == (["void space", "b"], [[255, 0, 1], [1, 255, 255]])
    assert source.notes == ["'a' is void: no class, and left out of loss and metrics"]
    (tmp_path / "classes.txt").write_bytes(b"void\na\nb\n")
    assert opened("masks:x", str(tmp_path), ignore_index=255).classes == ["void", "a", "b"]


def test_all_ids_below_void_may_be_classes(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 253], [254, 255, 254]])
    dataset(tmp_path, {"images/x.jpg": small(1), "masks/x.png": mask(ids)})
    for names in ({}, {"classes.txt": b"\n".join(b"%d" % i for i in range(255))}):
        source = opened("masks:x", dataset(tmp_path, names))
        assert source.classes == [str(i) for i in range(255)]
        assert source.read_mask(0).tolist() == ids.tolist()
    backwards = source.in_classes(source.classes[::-1], "test")
    assert backwards.read_mask(0).tolist() == [[254, 253, 1], [0, 255, 0]]  # type: ignore[attr-defined]


def test_no_class_can_stand_for_the_value_of_void(tmp_path: Path) -> None:
    names = b"void\n" + b"\n".join(b"%d" % i for i in range(1, 256))
    dataset(tmp_path, {"images/x.jpg": small(1), "masks/x.png": mask(np.array([[0, 255]])), "classes.txt": names})
    with pytest.raises(DataError, match="class '255' stands for a value above 254, and 255 is void"):
        opened("masks:x", str(tmp_path))


def test_white_is_the_second_of_two_classes(tmp_path: Path) -> None:
    white = {"images/x.jpg": small(1), "masks/x.png": mask(np.array([[0, 255, 0], [0, 0, 255]]))}
    source = opened("masks:x", dataset(tmp_path, white))
    assert source.classes == ["0", "1"]
    assert source.read_mask(0).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert source.notes[-1] == "masks of two classes hold 0 and 255 only: 255 is '1', not void"
    dataset(tmp_path, {"images/y.jpg": small(2), "masks/y.png": mask(np.array([[0, 1, 255], [0, 0, 0]]))})
    assert opened("masks:x", str(tmp_path)).read_mask(1).tolist() == [[0, 1, 255], [0, 0, 0]]


def test_white_is_void_where_any_mask_has_the_second_class(tmp_path: Path) -> None:
    ids = [np.array([[0, 255, 0], [0, int(at == 33), 0]]) for at in range(40)]  # not among the first that are read
    files = {f"images/{at:02d}.jpg": small(at) for at in range(40)}
    files |= {f"masks/{at:02d}.png": mask(each) for at, each in enumerate(ids)}
    source = opened("masks:x", dataset(tmp_path, {**files, "classes.txt": b"a\nb\n"}))
    assert source.read_mask(33).tolist() == ids[33].tolist()
    assert not source.notes
    (tmp_path / "masks/33.png").write_bytes(mask(ids[0]))
    assert opened("masks:x", str(tmp_path)).read_mask(0).tolist() == [[0, 1, 0], [0, 0, 0]]
    source = opened("masks:x", str(tmp_path), ignore_index=255)
    assert source.read_mask(0).tolist() == ids[0].tolist()


def test_a_mask_lies_as_its_picture_does(tmp_path: Path) -> None:
    for at, ids in enumerate((IDS, IDS.T)):  # of the pixels as stored, or as they are looked at
        files = {"images/x.jpg": small(1, orientation=5), "masks/x.png": mask(ids), **NAMES}
        source = opened("masks:x", dataset(tmp_path / str(at), files))
        assert source.read_mask(0).tolist() == IDS.T.tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (mask(np.zeros((4, 3))), "the mask has 3x4 pixels, but its picture 3x2"),
        (mask(IDS + 1), "id 3 is no class; allowed: 0 to 2, and 255 for void; fix: data.ignore_index = 3 if"),
        (encoded(Image.fromarray(np.full((2, 3), 300, np.int32), "I"), "TIFF"), "id 300 is no class"),
        (encoded(picture(3, 3, 2)), r"it is of colours, such as \(\d+, \d+, \d+\), and there is no table"),
        (b"", "the mask cannot be read: the file is empty"),
        (b"<svg/>", "the mask cannot be read: "),
        (mask(IDS)[:50], "the mask cannot be read: "),
        (encoded(Image.new("F", (3, 2)), "TIFF"), "its pixels are of mode F"),
    ],
)
def test_a_mask_that_is_none_is_refused_when_it_is_read(tmp_path: Path, content: bytes, reason: str) -> None:
    source = opened("masks:x", dataset(tmp_path, {"images/x.jpg": small(1), "masks/x.png": content, **NAMES}))
    with pytest.raises(MaskError, match=rf"masks/x.png: .*{reason}"):
        source.read_mask(0)


def test_an_unknown_colour_is_refused(tmp_path: Path) -> None:
    table = {"class_dict.csv": b"name,r,g,b\nroad,0,0,0\ncar,128,0,0\n"}
    content = encoded(Image.fromarray(COLOURS[IDS]))
    source = opened("masks:x", dataset(tmp_path, {"images/x.jpg": small(1), "masks/x.png": content, **table}))
    with pytest.raises(DataError, match=r"colour \(0, 0, 255\) is no class"):
        source.read_mask(0)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"images/x.jpg": small(1)}, "no masks found for 1 pictures"),
        ({"images/x.jpg": small(1), "masks/x.jpg": small(2)}, "masks/x.jpg is no lossless image"),
        ({"class_dict.csv": b"name,r,g\na,1,2\n"}, "columns name, r, g; allowed: name, r, g, b"),
        ({"class_dict.csv": b"name,r,g,b\na,1,2,300\n"}, r"row 2: \['a', '1', '2', '300'\]"),
        ({"_classes.csv": b"Pixel Value, Class\n-1, a\n"}, "row 2: "),
        ({"classes.txt": b"a\nb\na\n"}, "class 'a' occurs twice"),
        ({"classes.txt": b"\n".join(b"%d" % i for i in range(256))}, "names 256 classes; allowed: 1 to 255"),
        ({"classes.txt": b"\n"}, "names no classes"),
        ({"masks/x.png": encoded(picture(3, 3, 2))}, "masks/x.png is of colours, and nothing says what they stand for"),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path: Path, files: Files, reason: str) -> None:
    pair: dict[str, Any] = (
        {} if len(files) == 2 or "images/x.jpg" in files else {"images/x.jpg": small(1), "masks/x.png": mask(IDS)}
    )
    with pytest.raises(DataError, match=reason):
        opened("masks:x", dataset(tmp_path, {**pair, **files}))


def test_what_has_no_partner_is_left_out(tmp_path: Path) -> None:
    files = {
        "images/x.jpg": small(1),
        "masks/x.png": mask(IDS),
        "images/y.jpg": small(2),
        "masks/z.png": mask(IDS),
        **NAMES,
    }
    source = opened("masks:x", dataset(tmp_path, files))
    assert list(source.names) == ["images/x.jpg"]
    assert source.notes == [
        "1 annotated image that cannot be found: left out (first: masks/z.png)",
        "1 picture without a mask: left out (first: images/y.jpg)",
    ]


def test_no_picture_or_mask_of_one_name_disappears_without_a_word(tmp_path: Path) -> None:
    files = {"images/x.jpg": small(1), "masks/x.png": mask(IDS), "masks/x.jpg": small(1), **NAMES}
    dataset(tmp_path, {**files, "images/y.jpg": small(2), "images/y.png": small(3), "masks/y.png": mask(IDS)})
    source = opened("masks:x", str(tmp_path))
    assert list(source.names) == ["images/x.jpg"]
    assert [(fault.code, fault.path, fault.reason) for fault in source.found.faults] == [
        ("image-ambiguous", "masks/x.jpg", "masks/x.png is the mask of images/x.jpg already"),
        ("image-ambiguous", "masks/y.png", "images/y.jpg and images/y.png are both of its name"),
    ]
    assert source.notes == ["2 annotation files whose image cannot be told: left out (first: masks/x.jpg)"]
    for path in ("masks/x.png", "masks/x.jpg", "images/x.jpg"):
        (tmp_path / path).unlink()
    with pytest.raises(DataError, match=r"no masks found for 2 pictures \(masks/y.png: images/y.jpg and images/y.png"):
        opened("masks:x", str(tmp_path))


def test_two_folders_of_masks_are_a_question(tmp_path: Path) -> None:
    dataset(tmp_path, {"images/x.jpg": small(1), "labels/x.png": mask(IDS), "masks/x.png": mask(2 - IDS), **NAMES})
    with pytest.raises(DataError, match=r"x.jpg has two masks, labels/x.png and masks/x.png; .* move labels/ or masks"):
        opened("masks:x", str(tmp_path))
