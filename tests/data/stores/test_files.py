"""The store that reads from files: damaged images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fewer.core.errors import DataError
from fewer.core.types import Request
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.loader import Loader
from fewer.data.settings import ReadSettings, ViewSettings
from image_files import all_of, write_images

IMAGES = 24
CROP = RandomResizedCrop((0.1, 1.0), (0.5, 2.0))


@pytest.fixture
def loaders() -> Iterator[dict[int, Loader]]:
    """Loaders by their number of processes."""
    opened = {processes: Loader(processes) for processes in (1, 2)}
    yield opened
    for loader in opened.values():
        loader.close()


def data_of(
    split: Split, loader: Loader | None, crop: RandomResizedCrop | None, damaged: str = "error", cache: bool = True
) -> ImageData:
    return ImageData(split, ViewSettings(crop=crop), reads=ReadSettings(damaged=damaged, cache=cache), loader=loader)


@pytest.fixture
def spoilt(tmp_path: Path) -> Split:
    root = write_images(tmp_path / "images", IMAGES)
    (root / "a" / "002.jpg").write_bytes(b"junk")
    whole = (root / "b" / "001.jpg").read_bytes()
    (root / "b" / "001.jpg").write_bytes(whole[: len(whole) // 2])
    return all_of(root)


@pytest.mark.parametrize("crop", [None, CROP], ids=["shift", "random_resized"])
def test_damaged_images_stop_or_are_left_out_as_in_memory(
    spoilt: Split,
    loaders: dict[int, Loader],
    crop: RandomResizedCrop | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    everything = [Request(torch.arange(IMAGES), 0, 16)]
    with pytest.raises(DataError, match=r"2 of 24 images(.|\n)*fewer data check folder:(.|\n)*quarantine"):
        list(data_of(spoilt, loaders[2], crop).batches(everything))
    in_memory = data_of(spoilt, None, crop, damaged="quarantine").prepare(16)
    for processes, decoded in ((2, 22), (1, 0)):  # sound files are remembered
        data = data_of(spoilt, loaders[processes], crop, damaged="quarantine")
        assert data.prepare(16) == in_memory
        assert data.counts.decoded == decoded
        assert data.prepare(11) == in_memory
    unremembered = data_of(spoilt, loaders[1], crop, damaged="quarantine", cache=False)
    assert unremembered.prepare(16) == in_memory
    assert unremembered.counts.decoded == 22
    assert unremembered.moments(16) == data_of(spoilt, None, crop, damaged="quarantine").moments(16)
