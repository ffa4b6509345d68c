"""Decoding, the store in memory and the batches made from it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.core.errors import DataError, ResourceError
from fewer.core.types import Batch, Request
from fewer.data.augment import Augment
from fewer.data.decode.decode import Damaged, decode, decode_counted, short_side_px
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split, open_splits
from fewer.data.stores import decoded as store_module
from fewer.data.stores.decoded import Counts, Store

SIDE = 8


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def split_of(root: Path, images: int = 12, side_px: int = SIDE) -> Split:
    for i in range(images):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(side_px, side_px, 3, seed=i)).save(root / "ab"[i % 2] / f"{i:03d}.png")
    return open_splits(f"folder:{root}", test="none", val="none").train


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_of(tmp_path_factory.mktemp("images"))


# --- decoding ------------------------------------------------------------------------------------------------------


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
        image, pixels = decode_counted(raw, side_px)
        assert image.shape == (side_px, side_px, 3)
        assert pixels == decoded
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


# --- store ---------------------------------------------------------------------------------------------------------


def test_the_store_holds_every_image_and_counts_it(split: Split) -> None:
    counts, calls = Counts(), []
    store = Store(split, threads=3, counts=counts, on_progress=lambda *call: calls.append(call))
    images = store.images(SIDE)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert images.shape == (12, SIDE, SIDE, 3)
    for id in split.ids_M.tolist():
        assert np.array_equal(images[store.row_N[id]].numpy(), decode(split.source.read(id), SIDE))
    assert (counts.decoded, counts.decoded_pixels) == (12, 12 * SIDE * SIDE)
    assert calls[-1] == (12, 12)
    assert store.images(SIDE) is images
    assert counts.decoded == 12


def test_the_side_unused_for_longest_goes(split: Split) -> None:
    store = Store(split, keep_sides=2)
    store.images(4), store.images(5), store.images(4), store.images(6)
    assert store.counts.decoded == 36
    store.images(4)
    assert store.counts.decoded == 36
    store.images(5)
    assert store.counts.decoded == 48


def test_damaged_images_stop_or_are_listed(tmp_path: Path) -> None:
    split_of(tmp_path, images=40)
    for i in range(0, 24, 2):
        (tmp_path / "a" / f"{i:03d}.png").write_bytes(b"" if i else b"junk")
    split = open_splits(f"folder:{tmp_path}", test="none", val="none").train
    with pytest.raises(DataError) as caught:
        Store(split).images(SIDE)
    message = str(caught.value)
    assert "12 of 40 images" in message
    assert "a/000.png: not an image" in message
    assert "and 2 more" in message
    assert "quarantine" in message
    assert str(tmp_path) in message
    data = ImageData(split, damaged="quarantine")
    damaged = data.prepare(SIDE)
    assert [image.id for image in damaged] == list(range(12))
    assert [image.id for image in data.prepare(5)] == list(range(12))
    left = split.without(torch.tensor([image.id for image in damaged]))
    assert len(left) == 28
    clean = ImageData(left)
    assert clean.prepare(SIDE) == []
    assert clean.moments(SIDE) == data.moments(SIDE)


def test_too_large_a_side_is_refused_before_decoding(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "available_bytes", lambda: 12 * 3 * 50 * 50)
    store = Store(split)
    with pytest.raises(ResourceError, match="at most 50"):
        store.images(51)
    assert store.counts.decoded == 0
    monkeypatch.setattr(store_module, "available_bytes", lambda: None)
    assert store.images(51).shape[1] == 51


# --- batches -------------------------------------------------------------------------------------------------------


def batch_of(data: ImageData, ids: list[int], epoch: int = 0, side_px: int = SIDE, strength: float = 1.0) -> Batch:
    return next(data.batches([Request(torch.tensor(ids), epoch, side_px, strength)]))


def test_batches_are_normalised_labelled_and_counted(split: Split) -> None:
    data = ImageData(split, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    batch = batch_of(data, [3, 7, 3], strength=0)
    raw = torch.from_numpy(np.stack([decode(split.source.read(i), SIDE) for i in (3, 7, 3)]))
    expected = (raw.double() / 255 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.6, 0.7])
    assert torch.allclose(batch.inputs.double(), expected.permute(0, 3, 1, 2), atol=1e-6)
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.dtype == torch.int64
    assert batch.targets.tolist() == [0, 1, 0]
    assert batch.ids_B.tolist() == [3, 7, 3]
    plain = batch_of(ImageData(split, channels_last=False, dtype=torch.float64), [1])
    assert plain.inputs.is_contiguous()
    assert plain.inputs.dtype == torch.float64


@settings(max_examples=40, deadline=None)
@given(ids=st.lists(st.integers(0, 11), min_size=1, max_size=30), epoch=st.integers(0, 3), side_px=st.integers(5, 9))
def test_a_sample_looks_the_same_in_every_batch(split: Split, ids: list[int], epoch: int, side_px: int) -> None:
    augment = Augment(2, "reflect", "alternating", cutout_px=3, reference_side_px=8)
    data = ImageData(split, augment=augment, seed=1, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), keep_sides=5)
    together = batch_of(data, ids, epoch, side_px)
    for i, id in enumerate(ids):
        alone = batch_of(data, [id], epoch, side_px)
        assert torch.equal(alone.inputs[0], together.inputs[i])
        assert alone.targets[0] == together.targets[i]


def test_cutout_is_zero_after_normalising(split: Split) -> None:
    data = ImageData(split, augment=Augment(cutout_px=3), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    zero_BHW = (batch_of(data, list(range(12))).inputs == 0).all(1)
    assert zero_BHW.sum((1, 2)).tolist() == [9] * 12


def test_an_id_of_another_split_is_a_bug(split: Split) -> None:
    data = ImageData(split.without(torch.tensor([4])))
    with pytest.raises(IndexError, match="id 4"):
        batch_of(data, [3, 4])


def test_moments_are_exact(split: Split) -> None:
    mean, std = ImageData(split).moments(SIDE, limit=5)
    spread = (0, 2, 4, 7, 9)  # of twelve images at even distances: all classes take part
    raw = np.stack([decode(split.source.read(i), SIDE) for i in spread]).reshape(-1, 3) / 255
    assert mean == pytest.approx(raw.mean(0), abs=1e-12)
    assert std == pytest.approx(raw.std(0), abs=1e-12)


def test_an_empty_request_gives_an_empty_batch(split: Split) -> None:
    data = ImageData(split, augment=Augment(2, "zero", "random", 3))
    batch = next(data.batches([Request(torch.empty(0, dtype=torch.int64), 0, SIDE)]))
    assert batch.inputs.shape == (0, 3, SIDE, SIDE)
    assert len(batch) == 0
