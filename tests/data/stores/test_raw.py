"""The store of whole pictures in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.decode.cut import cut
from fewer.data.decode.decode import decode_whole
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores import raw as store_module
from fewer.data.stores.raw import RawStore
from image_files import all_of, write_images

VIEWS = ViewSettings(crop=RandomResizedCrop((0.1, 1.0)), seed=3)


@pytest.mark.parametrize("threads", [1, 3])
def test_squares_are_cut_out_anew_from_pictures_that_are_decoded_once(tmp_path: Path, threads: int) -> None:
    split = all_of(write_images(tmp_path / "images", 6))
    store = RawStore(split, VIEWS, ReadSettings(threads=threads))
    requests = [Request(torch.tensor([4, 1, 4]), epoch, side_px) for epoch, side_px in ((0, 9), (1, 9), (1, 12))]
    for loaded in store.stream(iter(requests)):
        side_px = loaded.request.side_px
        boxes = VIEWS.boxes(loaded.request)
        assert boxes is not None
        for index, id in enumerate((4, 1, 4)):
            picture, _ = decode_whole(split.source.read(id))
            height, width = picture.shape[:2]
            box = boxes.box(index, width, height)
            assert np.array_equal(loaded.squares.image_BHWC[index].numpy(), cut(picture, box, side_px))
            assert loaded.squares.crop_B6[index].tolist() == [width, height, *box]
    assert store.counts.decoded == 6


def test_pictures_that_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = all_of(write_images(tmp_path / "images", 6))
    monkeypatch.setattr(store_module, "available_bytes", lambda: 1 << 20)
    with pytest.raises(ResourceError, match=r"6 pictures at full size need about(.|\n)*data.in_memory"):
        RawStore(split, VIEWS, ReadSettings(threads=1)).prepare(9)
