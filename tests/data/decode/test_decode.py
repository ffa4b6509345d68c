"""Decoding: from the bytes of a file to an upright RGB picture, or `Damaged`."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.data.decode import decode as decoding
from fewer.data.decode.decode import Damaged, decode, decode_square, decode_whole, size_px
from image_files import encoded, noise, png16
from zoo import bare_png


def test_rgb_at_its_own_side_is_untouched() -> None:
    pixels = noise(9, 9, 3)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), 9), pixels)
    assert np.array_equal(decode(pixels, 9), pixels)


def test_every_mode_becomes_rgb() -> None:
    grey = noise(6, 6)
    as_rgb = np.repeat(grey[:, :, None], 3, 2)
    assert np.array_equal(decode(encoded(Image.fromarray(grey)), 6), as_rgb)
    assert np.array_equal(decode(grey, 6), as_rgb)
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(decode(encoded(sixteen), 6), as_rgb)
    assert np.array_equal(decode(encoded(sixteen, "TIFF"), 6), as_rgb)
    colours = Image.fromarray(noise(6, 6, 3)).quantize(7)
    assert np.array_equal(decode(encoded(colours), 6), np.asarray(colours.convert("RGB")))
    assert decode(encoded(Image.new("CMYK", (6, 6), (0, 255, 255, 0)), "JPEG"), 6)[3, 3].tolist() == pytest.approx(
        [255, 0, 0], abs=3
    )
    assert decode(encoded(Image.new("1", (6, 6), 1)), 6).min() == 255
    half = Image.new("RGBA", (6, 6), (255, 0, 0, 0))
    half.putpixel((0, 0), (255, 0, 0, 255))
    assert decode(encoded(half), 6)[0, :2].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_the_centre_square_is_taken() -> None:
    pixels = noise(4, 10, 3)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), 4), pixels[:, 3:7])
    assert np.array_equal(
        decode(encoded(Image.fromarray(pixels.transpose(1, 0, 2))), 4), pixels[:, 3:7].transpose(1, 0, 2)
    )
    assert decode(encoded(Image.fromarray(noise(30, 50, 3))), 8).shape == (8, 8, 3)


def test_shrinking_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    assert np.ptp(decode(board.astype(np.uint8), 8).astype(int)) < 3


def test_exif_orientation_is_applied() -> None:
    pixels = noise(8, 8, 3)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    assert np.array_equal(decode(encoded(Image.fromarray(pixels), exif=exif), 8), pixels[::-1, ::-1])


def test_a_jpeg_is_decoded_small_where_that_is_enough() -> None:
    raw = encoded(Image.fromarray(noise(256, 320, 3)), "JPEG")
    for side_px, decoded in ((32, 32 * 40), (33, 64 * 80), (200, 256 * 320), (300, 256 * 320)):
        found = decode_square(raw, side_px)
        assert found.picture.shape == (side_px, side_px, 3)
        assert found.pixels == decoded
    assert min(size_px(raw)) == 256


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF"])
@settings(max_examples=12, deadline=None)
@given(keep=st.floats(0, 0.9))
def test_a_truncated_file_is_damaged(format: str, keep: float) -> None:
    raw = encoded(Image.fromarray(noise(40, 40, 3)), format)
    with pytest.raises(Damaged) as caught:
        decode(raw[: int(len(raw) * keep)], 40)
    assert caught.value.reason


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_image_is_damaged() -> None:
    for raw, reason in (
        (b"", "0 bytes"),
        (b"hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "this is PostScript"),  # Pillow would start Ghostscript
        (b"P4\n20000 5001\n", "megapixels"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
    ):
        with pytest.raises(Damaged, match=reason):
            decode(raw, 8)


def test_a_picture_of_another_format_is_called_by_its_name() -> None:
    """Whatever its ending says, a user who opens it sees a picture."""
    for raw, name in (
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "this is HEIC; read are JPEG"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "this is SVG"),
        (b"\xff\x0a\xfa\x1f", "this is JPEG XL"),
        (b"\0" * 128 + b"DICM", "this is DICOM"),
        (b"\n<!DOCTYPE html><html>", "this is a page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "this is a Git LFS pointer"),
    ):
        with pytest.raises(Damaged, match=name):
            decode(raw, 8)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "DIB"])
def test_further_formats_are_read(format: str) -> None:
    found = decode(encoded(Image.new("RGB", (16, 16), (200, 30, 30)), format), 16)
    assert np.abs(found.astype(int) - (200, 30, 30)).max() <= 6


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as the command line does
@pytest.mark.parametrize("megapixels", [9.5, 12, 24])
def test_large_images_are_told_in_one_way(monkeypatch: pytest.MonkeyPatch, megapixels: float) -> None:
    """As 95, 120 and 240 megapixels are: above Pillow's warning, above our limit, above Pillow's own."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8_900_000)
    monkeypatch.setattr(decoding, "PIXELS_MAX", 10_000_000)
    raw = b"P4\n%d %d\n" % (1000, megapixels * 1000)
    if megapixels < 10:
        assert min(size_px(raw)) == 1000
    else:
        with pytest.raises(Damaged, match=f"^{megapixels} megapixels; at most 10 megapixels are decoded$"):
            min(size_px(raw))


# --- More than eight bits ------------------------------------------------------------------------------------------


def test_values_of_16_bits_keep_the_levels_of_their_range() -> None:
    """Values 1,800 and 1,860 of 12 bits became 7 both."""
    values = np.array([[0, 1800, 1860, 4095]] * 4, np.uint16)
    for raw in (encoded(Image.fromarray(values)), encoded(Image.fromarray(values), "TIFF"), png16(values)):
        assert decode(raw, 4, depth=12)[0, :, 0].tolist() == [0, 112, 116, 255]
        assert decode(raw, 4)[0, :, 0].tolist() == [0, 7, 7, 16], "as ever"
        assert decode_whole(raw, depth=10)[0][0, :, 0].tolist() == [0, 255, 255, 255], "what lies above is white"


def test_colours_of_16_bits_keep_the_levels_of_their_range() -> None:
    """Pillow reads the upper eight bits of colours alone."""
    values = np.zeros((4, 4, 3), np.uint16)
    values[..., 0], values[:, 1, 2] = 1800, 4095
    assert decode(png16(values), 4, depth=12)[0, 1].tolist() == [112, 0, 255]
    assert decode(png16(values), 4)[0, 1].tolist() == [7, 0, 15]
    clear = np.dstack([values, np.full((4, 4), 65535, np.uint16)])
    clear[0, 0, 3] = 0
    found = decode(png16(clear), 4, depth=12)
    assert found[0, :2].tolist() == [[255, 255, 255], [112, 0, 255]]


def test_a_deep_image_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    values = np.array([[4095, 0], [0, 0]], np.uint16)
    assert decode(encoded(Image.fromarray(values), exif=exif), 2, depth=12)[:, :, 0].tolist() == [[0, 0], [0, 255]]


def test_a_transparent_colour_is_white() -> None:
    """Of colours, of 16 bits, and of fewer than eight."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = 9
    key = struct.pack(">HHH", 1800, 5, 5)
    deep = np.full((2, 2, 3), (1800, 5, 5), np.uint16)
    deep[0, 0, 1] = 6  # the same to eight bits
    few = bare_png(2, 1, 4, 0, b"\0\x1f", struct.pack(">H", 1))
    for raw, depth, wanted in (
        (encoded(Image.fromarray(pixels), transparency=(0, 0, 0)), 16, [9, 255]),
        (encoded(Image.fromarray(pixels[..., 0].astype(np.uint16)), transparency=0), 8, [9, 255]),
        (encoded(Image.fromarray(pixels[..., 0]), transparency=0), 16, [9, 255]),
        (png16(deep, key), 16, [7, 255]),
        (png16(deep, key), 12, [112, 255]),
        (few, 16, [255, 255]),
    ):
        assert decode_whole(raw, depth)[0][0, :, 0].tolist() == wanted


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on odd TIFF tags
@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 700), value=st.integers(0, 255), format=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF"]))
def test_a_flipped_byte_gives_an_image_or_damaged(place: int, value: int, format: str) -> None:
    raw = bytearray(encoded(Image.fromarray(noise(12, 12, 3)), format))
    raw[place % len(raw)] = value
    with contextlib.suppress(Damaged):
        assert decode(bytes(raw), 8).shape == (8, 8, 3)


# --- where a square was cut from -----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("format", "side_px"), [("PNG", 8), ("JPEG", 8), ("JPEG", 40), ("JPEG", 100)])
@pytest.mark.parametrize(("width", "height"), [(100, 131), (97, 97), (119, 64)])
def test_the_box_is_where_the_square_was_cut_from(
    width: int, height: int, side_px: int, format: str, orientation: int
) -> None:
    """Of the upright picture at its own size; to within a pixel of what was decoded, a JPEG's to within half of one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = encoded(Image.fromarray(noise(height, width, 3)), format, exif=exif)
    if orientation == 6:
        width, height = height, width
    found = decode_square(raw, side_px)
    square = min(width, height)
    assert found.box[:2] == (width, height)
    middle = (width - square) / 2, (height - square) / 2, (width + square) / 2, (height + square) / 2
    fraction = (width * height / found.pixels) ** 0.5
    within = {"PNG": 0, "JPEG": 0.5}[format] if found.pixels == width * height else fraction
    assert np.abs(np.array(found.box[2:]) - middle).max() <= within


# --- whole pictures ------------------------------------------------------------------------------------------------


def test_a_whole_picture_keeps_its_size_and_stands_upright() -> None:
    pixels = noise(30, 20, 3)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    assert np.array_equal(decode_whole(encoded(image, "PNG")).picture, pixels)
    turned = decode_whole(encoded(image, "PNG", exif=exif))
    assert np.array_equal(turned.picture, np.rot90(pixels, -1))
    assert turned[1:] == (600, 30, 20, 1, None)


@settings(max_examples=20, deadline=None)
@given(keep=st.floats(0, 0.95))
def test_a_truncated_jpeg_is_damaged_as_a_whole_too(keep: float) -> None:
    raw = encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")
    with pytest.raises(Damaged):
        decode_whole(raw[: int(len(raw) * keep)])
