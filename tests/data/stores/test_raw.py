"""The store of whole pictures in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.decode.cut import decode_cut
from fewer.data.decode.decode import decode_whole
from fewer.data.decode.resize import resized
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores import raw as store_module
from fewer.data.stores.raw import RawStore
from image_files import all_of, write_images, write_photo

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
            whole = decode_whole(split.source.read(id))
            width, height = whole.width, whole.height
            box = boxes.box(index, width, height)
            assert np.array_equal(loaded.squares.image_BHWC[index].numpy(), resized(whole.picture, box, side_px))
            assert loaded.squares.crop_B6[index].tolist() == [width, height, *box]
    assert store.counts.decoded == 6


def test_pictures_that_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = all_of(write_images(tmp_path / "images", 6))
    monkeypatch.setattr(store_module, "available_bytes", lambda: 1 << 20)
    with pytest.raises(ResourceError, match=r"6 pictures at full size need about(.|\n)*data.in_memory"):
        RawStore(split, VIEWS, ReadSettings(threads=1)).prepare(9)


@pytest.mark.parametrize("threads", [1, 3])
def test_views_are_those_read_from_files_though_jpegs_are_decoded_at_a_fraction(tmp_path: Path, threads: int) -> None:
    root = tmp_path / "images"
    for number, side_px in enumerate((200, 260)):
        write_photo(root / "ab"[number] / "1.jpg", side_px, side_px + 31, orientation=(1, 6)[number])
    split = all_of(root)
    store = RawStore(split, VIEWS, ReadSettings(threads=threads))
    decoded_at = {}
    for epoch in range(12):
        for side_px in (24, 60):
            request = Request(torch.tensor([1, 0, 1]), epoch, side_px)
            boxes = VIEWS.boxes(request)
            (loaded,) = store.stream(iter([request]))
            for index, id in enumerate((1, 0, 1)):
                read = decode_cut(split.source.read(id), boxes, index, side_px)
                assert np.array_equal(loaded.squares.image_BHWC[index].numpy(), read.picture)
                assert loaded.squares.crop_B6[index].tolist() == list(read.box)
                decoded_at[id, read.pixels] = read.pixels
    decoded_at |= {(id, whole.pixels): whole.pixels for id in (0, 1) if (whole := decode_whole(split.source.read(id)))}
    assert len(decoded_at) > 4
    assert (store.counts.decoded, store.counts.decoded_pixels) == (len(decoded_at), sum(decoded_at.values()))
