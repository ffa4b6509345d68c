"""Decoding: from the bytes of a file to an upright RGB picture, or `Damaged`."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.data.decode.decode import Damaged, decode, decode_square, decode_whole, short_side_px
from image_files import encoded, noise


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
    assert short_side_px(raw) == 256


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
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),  # Pillow would start Ghostscript
        (b"P4\n20000 5001\n", "megapixels"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
    ):
        with pytest.raises(Damaged, match=reason):
            decode(raw, 8)


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
    """Of the upright picture at its own size; to within a pixel of what was decoded."""
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
    assert np.abs(np.array(found.box[2:]) - middle).max() <= (fraction if found.pixels < width * height else 0)


# --- whole pictures ------------------------------------------------------------------------------------------------


def test_a_whole_picture_keeps_its_size_and_stands_upright() -> None:
    pixels = noise(30, 20, 3)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    assert np.array_equal(decode_whole(encoded(image, "PNG"))[0], pixels)
    turned, count = decode_whole(encoded(image, "PNG", exif=exif))
    assert np.array_equal(turned, np.rot90(pixels, -1))
    assert count == 600


@settings(max_examples=20, deadline=None)
@given(keep=st.floats(0, 0.95))
def test_a_truncated_jpeg_is_damaged_as_a_whole_too(keep: float) -> None:
    raw = encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")
    with pytest.raises(Damaged):
        decode_whole(raw[: int(len(raw) * keep)])
