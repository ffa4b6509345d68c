"""The store of decoded squares in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fewer.core.errors import DataError, ResourceError
from fewer.data.decode.decode import decode
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.settings import ReadSettings
from fewer.data.stores import decoded as store_module
from fewer.data.stores.decoded import DecodedStore
from image_files import all_of, write_squares

SIDE = 8


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
