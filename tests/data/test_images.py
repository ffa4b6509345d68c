"""Batches: the same from memory and from files, normalised, with targets that their views are given to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fewer.core.frame import Frame
from fewer.core.types import Batch, Request
from fewer.data.augment import Augment
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.augment.view import View
from fewer.data.decode.decode import decode
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.loader import Loader
from fewer.data.settings import InputSettings, ReadSettings, ViewSettings
from image_files import all_of, encoded, write_squares

SIDE = 8
SHIFTED = InputSettings((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return all_of(write_squares(tmp_path_factory.mktemp("images")))


def batch_of(data: ImageData, ids: list[int], epoch: int = 0, side_px: int = SIDE, strength: float = 1.0) -> Batch:
    return next(data.batches([Request(torch.tensor(ids), epoch, side_px, strength)]))


def test_batches_are_normalised_labelled_and_counted(split: Split) -> None:
    data = ImageData(split, inputs=SHIFTED)
    batch = batch_of(data, [3, 7, 3], strength=0)
    raw = torch.from_numpy(np.stack([decode(split.source.read(i), SIDE) for i in (3, 7, 3)]))
    expected = (raw.double() / 255 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.6, 0.7])
    assert torch.allclose(batch.inputs.double(), expected.permute(0, 3, 1, 2), atol=1e-6)
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.dtype == torch.int64
    assert batch.targets.tolist() == [0, 1, 0]
    assert batch.ids_B.tolist() == [3, 7, 3]
    plain = batch_of(ImageData(split, inputs=InputSettings(channels_last=False, dtype=torch.float64)), [1])
    assert plain.inputs.is_contiguous()
    assert plain.inputs.dtype == torch.float64


@settings(max_examples=40, deadline=None)
@given(ids=st.lists(st.integers(0, 11), min_size=1, max_size=30), epoch=st.integers(0, 3), side_px=st.integers(5, 9))
def test_a_sample_looks_the_same_in_every_batch(split: Split, ids: list[int], epoch: int, side_px: int) -> None:
    augment = Augment(2, "reflect", "alternating", cutout_px=3, reference_side_px=8)
    data = ImageData(split, ViewSettings(augment, seed=1), SHIFTED, ReadSettings(keep_sides=5))
    together = batch_of(data, ids, epoch, side_px)
    for i, id in enumerate(ids):
        alone = batch_of(data, [id], epoch, side_px)
        assert torch.equal(alone.inputs[0], together.inputs[i])
        assert alone.targets[0] == together.targets[i]


def test_cutout_is_zero_after_normalising(split: Split) -> None:
    data = ImageData(split, ViewSettings(Augment(cutout_px=3)), SHIFTED)
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
    data = ImageData(split, ViewSettings(Augment(2, "zero", "random", 3)))
    batch = next(data.batches([Request(torch.empty(0, dtype=torch.int64), 0, SIDE)]))
    assert batch.inputs.shape == (0, 3, SIDE, SIDE)
    assert len(batch) == 0


# --- annotations -----------------------------------------------------------------------------------------------------

RAMPS = ((150, 211), (97, 60), (64, 64), (33, 130), (260, 250))  # width and height of some pictures
LYING = 6  # EXIF: to be turned by a quarter


def ramp(width: int, height: int) -> Tensor:
    """A picture whose levels say where a pixel lies: red from left to right, green from top to bottom."""
    across, down = (torch.linspace(0, 250, size).round() for size in (width, height))
    planes = [across.expand(height, width), down[:, None].expand(height, width), torch.zeros(height, width)]
    return torch.stack(planes, 2).to(torch.uint8)


@pytest.fixture(scope="module")
def ramps(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Ramps as PNG and JPEG, some of them lying on their sides: of twice as many as there are sizes."""
    root: Path = tmp_path_factory.mktemp("ramps")
    (root / "a").mkdir()
    for number, size in enumerate(RAMPS * 2):
        picture, exif, lies = ramp(*size).numpy(), Image.Exif(), number % 3 == 1
        exif[0x0112] = LYING if lies else 1
        image = Image.fromarray(np.rot90(picture) if lies else picture)
        format = ("PNG", "JPEG")[number >= len(RAMPS)]
        (root / "a" / f"{number:02d}.jpg").write_bytes(encoded(image, format, exif=exif))
    return all_of(root)


class PixelNumbers:
    """Masks that number the pixels of each upright picture."""

    def targets(self, request: Request, view: View, frame: Frame | None = None) -> Tensor:
        sizes = [RAMPS[id % len(RAMPS)] for id in request.ids_B.tolist()]
        return view.of_masks([torch.arange(width * height).view(height, width) for width, height in sizes], ignore=-1)


@pytest.fixture(scope="module", params=[None, RandomResizedCrop((0.05, 1.0))], ids=["centre", "random_resized"])
def annotated(request: pytest.FixtureRequest, ramps: Split) -> Iterator[list[ImageData]]:
    """The same data from memory, read in this process, and read in others."""
    views = ViewSettings(Augment(3, "reflect", "random"), request.param, seed=2)
    loader = Loader(2)
    found = (None, Loader(0), loader)
    yield [
        ImageData(ramps, views, reads=ReadSettings(keep_sides=3), loader=one, annotations=PixelNumbers())
        for one in found
    ]
    loader.close()


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(st.integers(0, 2 * len(RAMPS) - 1), min_size=1, max_size=5),
    epoch=st.integers(0, 50),
    side_px=st.sampled_from([12, 16, 40]),
    strength=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_masks_follow_their_pictures_from_memory_and_from_files(
    annotated: list[ImageData], ids: list[int], epoch: int, side_px: int, strength: float
) -> None:
    """Crop, resize, fractions of JPEGs, EXIF, shift and flip: a mask's pixel is the one that the picture shows."""
    asked = Request(torch.tensor(ids), epoch, side_px, strength)
    batches = [next(data.batches([asked])) for data in annotated]
    assert all(torch.equal(batch.targets, batches[0].targets) for batch in batches)
    for place, id in enumerate(ids):
        width, height = RAMPS[id % len(RAMPS)]
        number_HW, level_HW = batches[0].targets[place], batches[0].inputs[place] * 255
        for channel, (place_HW, size) in enumerate(((number_HW % width, width), (number_HW // width, height))):
            reach = max(1.0, min(width, height) / side_px)  # pixels of the picture in one of the view
            apart = (level_HW[channel] * (size - 1) / 250 - place_HW)[number_HW >= 0].abs()
            assert (number_HW >= 0).any()
            assert float(apart.max()) <= reach + 2  # JPEG alone moves a level by as much as two pixels do
