"""Looks of images, and pairs that look alike, against comparing each with each."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.inspection.looks import ALIKE_BITS, alike, groups_of, look_of
from zoo import encoded


def scene(seed: int, side_px: int = 96) -> Image.Image:
    """A smooth picture of a few blobs, as photos are, and as noise is not."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side_px, side_px), Image.Resampling.BICUBIC)


def apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def test_a_look_is_which_value_is_larger_than_its_neighbours() -> None:
    ramp = np.tile(np.arange(9, dtype=np.uint8) * 28, (9, 1))
    assert look_of(Image.fromarray(ramp).convert("RGB")) == b"\xff" * 8 + b"\0" * 8
    assert look_of(Image.fromarray(ramp.T.copy()).convert("RGB")) == b"\0" * 8 + b"\xff" * 8


def test_small_changes_look_alike_and_other_pictures_do_not() -> None:
    image = scene(0)
    look = look_of(image)
    compressed = Image.open(io.BytesIO(encoded(image, "JPEG", quality=40))).convert("RGB")
    for changed in (compressed, image.resize((48, 48)), image.point(lambda value: value * 0.9), image.convert("L")):
        assert apart(look, look_of(changed)) <= ALIKE_BITS
    others = [look_of(scene(seed)) for seed in range(1, 40)]
    assert min(apart(look, other) for other in others) > 2 * ALIKE_BITS


def test_blank_pages_look_like_nothing() -> None:
    blank = Image.new("RGB", (40, 30), (250, 250, 250))
    assert look_of(blank) == b""
    assert [len(ids) for ids in alike([look_of(blank)] * 3)] == [0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from([0, 1, 7, 10, 20]))
def test_pairs_are_those_of_comparing_each_with_each(seed: int, count: int, within: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (4, 16), dtype=np.uint8)
    flips = rng.random((count, 128)) < rng.choice([0.0, 0.02, 0.06, 0.1], (count, 1))
    looks = [bytes(centres[rng.integers(4)] ^ np.packbits(flip)) for flip in flips]
    looks = [b"" if rng.random() < 0.1 else look for look in looks]
    each = [
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if looks[i] and looks[j] and apart(looks[i], looks[j]) <= within
    ]
    one, other = alike(looks, within)
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == each


def test_groups_are_what_pairs_connect() -> None:
    group = groups_of(6, np.array([0, 4]), np.array([3, 3])).tolist()
    assert group[0] == group[3] == group[4]
    assert len({group[0], group[1], group[2], group[5]}) == 4


@pytest.mark.parametrize("looks", [[], [b""], [b"0123456789abcdef"]])
def test_too_few_images_make_no_pairs(looks: list[bytes]) -> None:
    assert [ids.tolist() for ids in alike(looks)] == [[], []]
