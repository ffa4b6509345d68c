"""Stores and their sources: the same images, and views as those of the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fewer.core.errors import DataError
from fewer.core.types import Batch, Request
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split, open_splits
from fewer.data.loader import Loader
from fewer.data.pictures.build import Order, build
from fewer.data.pictures.sources import require_same
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.sources import open_source
from image_files import all_of, write_images, write_photo


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Split:
    root = tmp_path_factory.mktemp("photos")
    for number in range(8):
        orientation = (1, 6, 3)[number % 3]
        write_photo(root / "ab"[number % 2] / f"{number}.jpg", 200 + 40 * number, 330 - 20 * number, orientation, 50)
    return all_of(root)


def batches(split: Split, store: Path | None, loader: Loader | None, crop: RandomResizedCrop | None) -> Iterator[Batch]:
    data = ImageData(split, ViewSettings(crop=crop, seed=3), reads=ReadSettings(store=store), loader=loader)
    ids_M = torch.arange(min(24, len(split)))
    return data.batches([Request(ids_M, 0, 48), Request(ids_M, 1, 32), Request(ids_M, 1, 40, 0.0)])


@pytest.mark.parametrize("form", ["raw", "jpeg"])
@pytest.mark.parametrize("crop", [None, RandomResizedCrop((0.35, 1.0))], ids=["shift", "random_resized"])
def test_views_are_those_of_the_files_wherever_they_are_read(
    photos: Split, tmp_path: Path, form: str, crop: RandomResizedCrop | None
) -> None:
    """In memory, here, in other processes: the same bits; against the files: 28 dB, edges moving by a pixel."""
    store, _ = build(Order(photos.source, 96, tmp_path / "s.pictures", form))
    loader = Loader(2)
    found = [list(batches(photos, store.path, one, crop)) for one in (None, Loader(0), loader)]
    loader.close()
    for other in found[1:]:
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(found[0], other, strict=True))
    for stored, read in zip(found[0], batches(photos, None, Loader(0), crop), strict=True):
        error = float(((stored.inputs - read.inputs) ** 2).mean())
        assert 10 * np.log10(1 / error) > 28


def test_a_store_that_changes_nothing_changes_nothing(tmp_path: Path) -> None:
    """Small pictures that are no JPEGs."""
    split = open_splits("digits", test="none", val="none").train
    store, _ = build(Order(split.source, 32, tmp_path / "s.pictures"))
    assert not store.description.changes
    for crop in (None, RandomResizedCrop()):
        pairs = zip(*(batches(split, path, Loader(0), crop) for path in (None, store.path)), strict=True)
        assert all(torch.equal(a.inputs, b.inputs) for a, b in pairs)


def test_a_store_of_other_images_is_refused(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    store, _ = build(Order(open_source(f"folder:{root}"), 32, tmp_path / "s.pictures"))
    require_same(store, open_source(f"folder:{root}"), 16, True)
    with pytest.raises(DataError, match=r"stale: images of .* have changed"):
        require_same(store, open_source(f"folder:{root}"), 12, True)
    file = sorted((root / "a").iterdir())[0]
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"stale: images of .* have changed"):
        require_same(store, open_source(f"folder:{root}"), 16, True)
    file.unlink()
    with pytest.raises(DataError, match=r"a store of other images \(of folder:"):
        require_same(store, open_source(f"folder:{root}"), 16, True)
