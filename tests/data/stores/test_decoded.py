"""The store of decoded squares in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fewer.core.errors import DataError, ResourceError
from fewer.core.types import Request
from fewer.data.augment import Augment
from fewer.data.decode.decode import decode
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores import decoded as store_module
from fewer.data.stores.decoded import DecodedStore
from image_files import all_of, write_squares

SIDE = 8
AUGMENT = Augment(1, "reflect", "random", rotation_deg=20.0, reference_side_px=7)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return all_of(write_squares(tmp_path_factory.mktemp("images")))


def test_the_store_holds_every_image_and_counts_it(split: Split) -> None:
    calls: list[tuple[int, int]] = []
    store = DecodedStore(split, ReadSettings(threads=3, on_progress=lambda *call: calls.append(call)))
    images = store.squares(SIDE).image_BHWC
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert images.shape == (12, SIDE, SIDE, 3)
    for id in split.ids_M.tolist():
        assert np.array_equal(images[store.row_N[id]].numpy(), decode(split.source.read(id), SIDE))
    assert (store.counts.decoded, store.counts.decoded_pixels) == (12, 12 * SIDE * SIDE)
    assert calls[-1] == (12, 12)
    assert store.squares(SIDE).image_BHWC is images
    assert store.counts.decoded == 12


def test_the_side_unused_for_longest_goes(split: Split) -> None:
    store = DecodedStore(split, ReadSettings(keep_sides=2))
    store.squares(4), store.squares(5), store.squares(4), store.squares(6)
    assert store.counts.decoded == 36
    store.squares(4)
    assert store.counts.decoded == 36
    store.squares(5)
    assert store.counts.decoded == 48


@pytest.mark.parametrize(("keep_sides", "decoded"), [(2, 24), (1, 72)])
def test_sides_may_alternate(split: Split, keep_sides: int, decoded: int) -> None:
    """As where a stage is evaluated at another side than it trains at: whatever is kept, pixels are the same."""
    data = ImageData(split, ViewSettings(AUGMENT, seed=3), reads=ReadSettings(keep_sides=keep_sides))
    asked = [Request(torch.arange(4) + turn, turn // 2, (5, 7)[turn % 2], (1.0, 0.0)[turn % 2]) for turn in range(6)]
    for batch, request in zip(data.batches(asked), asked, strict=True):
        fresh = next(ImageData(split, ViewSettings(AUGMENT, seed=3)).batches([request]))
        assert torch.equal(batch.inputs, fresh.inputs)
    assert data.counts.decoded == decoded


def test_streams_at_two_sides_may_be_nested(split: Split) -> None:
    """An evaluation between two training batches, with room for one side only."""
    data = ImageData(split, reads=ReadSettings(keep_sides=1))
    outer = data.batches(Request.evaluation(5, 0, torch.arange(3) + turn) for turn in range(2))
    first, inner = next(outer), next(data.batches([Request.evaluation(7, 0, torch.arange(3))]))
    for batch, side_px, start in ((first, 5, 0), (inner, 7, 0), (next(outer), 5, 1)):
        raw = np.stack([decode(split.source.read(id), side_px) for id in range(start, start + 3)])
        assert np.array_equal((batch.inputs * 255).round().permute(0, 2, 3, 1).numpy(), raw)


def test_preparing_another_side_knows_the_same_damaged_images(tmp_path: Path) -> None:
    write_squares(tmp_path)
    (tmp_path / "a" / "004.png").write_bytes(b"junk")
    split = all_of(tmp_path)
    data = ImageData(split, reads=ReadSettings(damaged="quarantine", keep_sides=2))
    assert [[image.id for image in data.prepare(side_px)] for side_px in (8, 5, 8, 5)] == [[2]] * 4
    assert data.counts.decoded == 2 * (len(split) - 1)


def test_damaged_images_stop_or_are_listed(tmp_path: Path) -> None:
    write_squares(tmp_path, images=40)
    for i in range(0, 24, 2):
        (tmp_path / "a" / f"{i:03d}.png").write_bytes(b"" if i else b"junk")
    split = all_of(tmp_path)
    with pytest.raises(DataError) as caught:
        DecodedStore(split).squares(SIDE)
    message = str(caught.value)
    assert "12 of 40 images" in message
    assert "a/000.png: not an image" in message
    assert "and 2 more" in message
    assert "quarantine" in message
    assert str(tmp_path) in message
    data = ImageData(split, reads=ReadSettings(damaged="quarantine"))
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
    store = DecodedStore(split)
    with pytest.raises(ResourceError, match="at most 50"):
        store.squares(51)
    assert store.counts.decoded == 0
    monkeypatch.setattr(store_module, "available_bytes", lambda: None)
    assert store.squares(51).image_BHWC.shape[1] == 51
