"""Boxes that turn with the pictures that EXIF turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from annotated import coco, dataset, image, photo, thing
from fewer.data.annotations.header import Header, header_of, turned
from fewer.data.decode.decode import decode_whole
from fewer.data.decode.jpeg import upright
from fewer.data.sources.coco import opened


@given(st.integers(1, 8), st.integers(0, 5), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))
def test_a_box_holds_the_same_pixels_when_both_are_turned(
    orientation: int, x: int, y: int, wide: int, high: int
) -> None:
    picture = np.arange(9 * 7 * 3).reshape(7, 9, 3)
    header = Header(9, 7, orientation)
    left, top, right, bottom = turned(np.array([[x, y, x + wide, y + high]], float), header)[0].astype(int)
    shown = upright(picture, orientation)
    assert header.upright == shown.shape[1::-1]
    inside = shown[top:bottom, left:right]
    assert {*inside.reshape(-1, 3)[:, 0].tolist()} == {
        *picture[y : y + high, x : x + wide].reshape(-1, 3)[:, 0].tolist()
    }
    assert inside.size == wide * high * 3


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ((30, 40), [1, 2, 4, 8]),  # of the picture as it is looked at
        ((40, 30), [22, 1, 28, 4]),  # of the pixels as they are stored
        ((0, 0), [1, 2, 4, 8]),
    ],
)
def test_the_stated_size_tells_which_way_boxes_were_drawn(
    tmp_path: Path, stated: tuple[int, int], wanted: list[float]
) -> None:
    content = coco([image(1, "x.jpg", *stated)], [thing(1, 1, 1, 2, 3, 6)], {1: "a"})
    dataset(tmp_path, {"x.jpg": photo(1, 40, 30, orientation=6), "a.json": content})
    source = opened("coco:x", str(tmp_path))
    assert source.objects.box_A4.tolist() == [wanted]
    assert source.found.size_N2.tolist() == [[30, 40]]
    assert not source.notes


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_a_header_tells_the_stored_and_the_upright_size(tmp_path: Path, form: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "x", form, exif=exif)
    assert header_of(str(tmp_path / "x")) == Header(20, 10, 6)
    assert decode_whole((tmp_path / "x").read_bytes()).picture.shape == (20, 10, 3)


def test_another_size_is_a_finding(tmp_path: Path) -> None:
    content = coco([image(1, "x.jpg", 80, 60)], [thing(1, 1, 1, 2, 3, 6)], {1: "a"})
    dataset(tmp_path, {"x.jpg": photo(1), "a.json": content})
    source = opened("coco:x", str(tmp_path))
    assert [fault.reason for fault in source.found.faults] == ["annotated as 80x60, but it has 40x30 pixels"]
    assert source.notes == ["1 image of another size than stated: boxes are taken as they are (first: x.jpg)"]


def test_a_file_that_is_no_image_has_no_header(tmp_path: Path) -> None:
    for at, content in enumerate((b"", b"JUNK", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40)):
        (tmp_path / f"{at}.png").write_bytes(content)
        assert header_of(f"{tmp_path}/{at}.png") is None
    assert header_of(f"{tmp_path}/none.png") is None
