"""Facts of one image, whatever its bytes hold."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from fewer.data.decode.decode import Damaged, decode
from fewer.inspection.probe import probe
from zoo import encoded, odd_files, picture


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks, which the command line does not show
def test_random_bytes_are_judged_as_the_decoder_judges_them() -> None:
    draw = random.Random(0)
    sound = [raw for _, raw in odd_files().values()]
    broken = 0
    for _ in range(300):
        raw = bytearray(draw.choice(sound))
        for _ in range(draw.randint(1, 6)):
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        facts = probe(bytes(raw))
        try:
            decode(bytes(raw), 64)  # no JPEG of these is decoded at a fraction
            damaged = False
        except Damaged:
            damaged = True
        assert bool(facts.code) == damaged
        broken += damaged
    assert 0 < broken < 300


def test_facts_of_a_small_picture_by_hand() -> None:
    """Two pixels, (0, 1, 2) and (10, 20, 255), stored as PNG."""
    image = Image.new("RGB", (2, 1))
    image.putpixel((0, 0), (0, 1, 2))
    image.putpixel((1, 0), (10, 20, 255))
    facts = probe(encoded(image))
    assert (facts.width_px, facts.height_px, facts.format, facts.mode, facts.bits) == (2, 1, "PNG", "RGB", 8)
    assert (facts.sums, facts.squares) == ((10, 21, 257), (100, 401, 65_029))
    assert (facts.code, facts.frames, facts.turned) == ("", False, False)


def test_pixels_are_hashed_upright_and_with_their_size() -> None:
    image = picture(1, 4, 2)
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    stored = encoded(image.transpose(Image.Transpose.ROTATE_180), exif=exif)
    facts, plain = probe(stored), probe(encoded(image))
    assert facts.turned
    assert facts.pixels_hash == plain.pixels_hash
    assert facts.bytes_hash != plain.bytes_hash
    reshaped = Image.frombytes("RGB", (2, 4), image.tobytes())
    assert probe(encoded(reshaped)).pixels_hash != plain.pixels_hash
