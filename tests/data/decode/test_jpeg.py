"""JPEGs without Pillow: the same pixels, and whatever is odd about a file left to Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fewer.data.decode import jpeg
from fewer.data.decode.decode import Damaged, decode_square, decode_whole
from image_files import encoded, noise, photo, write_photo


def opened(raw: bytes) -> Image.Image:
    return Image.open(io.BytesIO(raw))


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
    grey=st.booleans(),
    fraction=st.sampled_from([1, 2, 4, 8]),
    smooth=st.booleans(),
)
def test_pixels_are_pillows_bit_for_bit(
    width: int, height: int, quality: int, subsampling: int, progressive: bool, grey: bool, fraction: int, smooth: bool
) -> None:
    image = photo(width, height) if smooth else Image.fromarray(noise(height, width, 3))
    image = image.convert("L" if grey else "RGB")
    raw = encoded(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    if min(width, height) < 2 * fraction:
        fraction = 1  # of single pixels several fractions give the same size, and no view is as small
    pillows = opened(raw)
    pillows.draft(pillows.mode, (width // fraction, height // fraction))
    found = jpeg.decoded(raw, opened(raw), fraction)
    assert found is not None
    assert found.shape[:2] == (-(-height // fraction), -(-width // fraction))
    assert np.array_equal(found, np.asarray(pillows.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    raw = write_photo(tmp_path / "a.jpg", 40, 23, orientation)
    expected = np.asarray(ImageOps.exif_transpose(opened(raw)))
    whole = decode_whole(raw)
    assert np.array_equal(whole.picture, expected)
    assert (whole.height, whole.width) == expected.shape[:2]


def test_broken_metadata_around_sound_pixels_is_taken_as_upright() -> None:
    raw = encoded(photo(30, 20), "JPEG", exif=b"Exif\0\0nonsense")
    assert decode_whole(raw).picture.shape == (20, 30, 3)


@pytest.mark.parametrize("fraction", [1, 2])
def test_what_is_refused_is_decoded_by_pillow(fraction: int) -> None:
    """CMYK has no agreed way to RGB; a wrong byte in a scan is a fault that Pillow puts up with."""
    cmyk = encoded(photo(60, 44).convert("CMYK"), "JPEG")
    assert jpeg.decoded(cmyk, opened(cmyk), fraction) is None
    pillows = opened(cmyk)
    pillows.draft("CMYK", (60 // fraction, 44 // fraction))
    whole = decode_whole(cmyk, fraction_of=lambda *_: fraction)
    assert np.array_equal(whole.picture, np.asarray(pillows.convert("RGB")))
    assert whole[1:] == (60 // fraction * 44 // fraction, 60, 44, fraction, None)
    plain = bytearray(encoded(photo(60, 44), "JPEG"))
    for place in range(len(plain) - 40, len(plain) - 2):
        plain[place] = 0xFE
    odd = bytes(plain)
    assert jpeg.decoded(odd, opened(odd), 1) is None
    assert np.array_equal(decode_whole(odd).picture, np.asarray(opened(odd)))


def test_colours_that_are_stored_as_such_stay(tmp_path: Path) -> None:
    """Adobe's mark without a transform: the three channels are red, green and blue."""
    raw = encoded(photo(40, 40), "JPEG", keep_rgb=True)
    assert np.array_equal(decode_whole(raw).picture, np.asarray(opened(raw).convert("RGB")))


def test_a_header_that_says_otherwise_is_left_to_pillow() -> None:
    raw = encoded(photo(40, 40), "JPEG")
    other = opened(encoded(photo(41, 40), "JPEG"))
    assert jpeg.decoded(raw, other, 1) is None


def test_a_damaged_file_is_named_as_ever() -> None:
    raw = encoded(photo(200, 200), "JPEG")
    for fraction_side_px in (20, 200):
        with pytest.raises(Damaged, match="truncated"):
            decode_square(raw[: len(raw) // 2], fraction_side_px)


def test_a_square_is_pillows_to_within_one_level() -> None:
    """Of the same square; where its middle is none of a pixel it begins half a pixel earlier."""
    raw = encoded(photo(130, 90), "JPEG", quality=95)
    for side_px in (32, 64, 90, 128):
        found = decode_square(raw, side_px)
        image = opened(raw)
        image.draft("RGB", (side_px, side_px))
        edge = (image.width - image.height) // 2
        square = image.crop((edge, 0, edge + image.height, image.height))
        expected = square.resize((side_px, side_px), Image.Resampling.BILINEAR)
        assert np.abs(found.picture.astype(int) - np.asarray(expected)).max() <= 1


def test_a_narrow_picture_is_not_made_smaller_than_asked_along_its_other_side() -> None:
    """Any fraction leaves one of three columns, so the height has to say which is wanted."""
    raw = encoded(Image.fromarray(noise(96, 3, 3)), "JPEG")
    found = jpeg.decoded(raw, opened(raw), 4)
    assert found is not None
    assert found.shape == (24, 1, 3)
