"""Watched whole pictures: as annotated, and what was found after some epochs, which a resumed run goes on with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dense_data import CLASSES, Knowing, box_data, mask_data
from fewer.core.evaluation import WorstSample
from fewer.core.types import Stage
from fewer.data.images import ImageData
from fewer.plan.shown import shown_of
from fewer.runs.record import read_json
from fewer.session.previews import PAIR_BYTES, WHOLE_SHEET_BYTES, to_show, write_stage, write_worst
from fewer.session.watched_pictures import WatchedPictures
from fewer.session.whole_pictures import GAP_PX, cell_of, pairs

SIDE_PX = 96


@pytest.fixture(params=["boxes", "masks"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> ImageData:
    return (box_data if request.param == "boxes" else mask_data)(tmp_path / "data", count=9)


def watched(data: ImageData, folder: Path) -> WatchedPictures:
    return WatchedPictures(data, Knowing(CLASSES), folder)  # type: ignore[arg-type]


def column(strip: Path, place: int, data: ImageData) -> np.ndarray:
    wide = cell_of(data, SIDE_PX)[0] + GAP_PX
    with Image.open(strip) as image:
        return np.asarray(image).astype(int)[46:, GAP_PX + wide * place : wide * (place + 1)]


def test_the_first_column_is_the_annotation_and_the_others_what_was_found(data: ImageData, tmp_path: Path) -> None:
    seen = watched(data, tmp_path)
    for epoch, off in enumerate((9, 4, 0), start=1):
        seen.look(off, SIDE_PX, epoch)  # type: ignore[arg-type]
    strip = tmp_path / "validation.jpg"
    annotated, *found = (column(strip, place, data)[:130] for place in range(4))
    first, second, third = (np.abs(each - annotated).mean() for each in found)
    assert third < 0.5 * min(first, second), "where the last model is right"
    assert strip.stat().st_size <= WHOLE_SHEET_BYTES


def test_of_many_epochs_some_are_kept(data: ImageData, tmp_path: Path) -> None:
    seen = watched(data, tmp_path)
    for epoch in range(1, 41):
        seen.look(epoch % 3, SIDE_PX, epoch)  # type: ignore[arg-type]
    found = read_json(tmp_path / "validation.json")
    kept = sorted(map(int, found["epochs"]))
    assert (kept[0], kept[-1]) == (1, 40)
    assert 8 <= len(kept) <= 16
    assert sorted(path.stem for path in (tmp_path / "watched").iterdir()) == [f"{epoch:06d}" for epoch in kept]
    assert len(found["images"]) == shown_of(is_whole=True).watched
    with Image.open(tmp_path / "validation.jpg") as strip:
        assert strip.width < 1400


@pytest.mark.parametrize("damage", ["", "json", "column"])
def test_a_resumed_run_goes_on_and_takes_back_what_it_repeats(tmp_path: Path, damage: str) -> None:
    data = box_data(tmp_path / "data")
    seen = watched(data, tmp_path)
    for epoch in (1, 2, 3):
        seen.look(8, SIDE_PX, epoch)  # type: ignore[arg-type]
    before = column(tmp_path / "validation.jpg", 1, data)
    if damage == "json":
        (tmp_path / "validation.json").write_text('{"images": [{"name": 3}], "epochs": {"1": 2}}')
    if damage == "column":
        (tmp_path / "watched" / "000001.jpg").write_bytes(b"<svg onload=alert(1)>")
    watched(data, tmp_path).look(0, SIDE_PX, 2)  # type: ignore[arg-type]
    epochs = read_json(tmp_path / "validation.json")["epochs"]
    assert list(epochs) == (["2"] if damage == "json" else ["1", "2"])
    after = column(tmp_path / "validation.jpg", 1, data)
    assert (np.abs(after - before)[:130].mean() < 2) == (not damage)


def test_worst_pictures_stand_beside_their_annotation(data: ImageData, tmp_path: Path) -> None:
    samples = [WorstSample(int(id), 1.0) for id in data.split.ids_M.tolist() * 4]
    drawn: Any = partial(pairs, data=data, task=Knowing(CLASSES), model=3, side_px=SIDE_PX)
    names = write_worst(data, samples, SIDE_PX, tmp_path / "worst", drawn)
    assert names == [f"{place:03d}.jpg" for place in range(1, shown_of(is_whole=True).worst + 1)]
    for name in names:
        assert (tmp_path / "worst" / name).stat().st_size <= PAIR_BYTES
        with Image.open(tmp_path / "worst" / name) as picture:
            both = np.asarray(picture).astype(int)
        wide = (both.shape[1] - GAP_PX) // 2
        assert np.abs(both[:, :wide] - both[:, -wide:]).max() > 60, "the model is three pixels off"
    assert write_worst(data, [], SIDE_PX, tmp_path / "none", drawn) == []


def test_a_stages_views_are_shown_with_what_they_are_annotated_with(data: ImageData, tmp_path: Path) -> None:
    stage = Stage(0, 0, 2, SIDE_PX, 16)
    path = write_stage(data, stage, tmp_path)
    assert path.stat().st_size <= WHOLE_SHEET_BYTES
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet).astype(int)
    colourful = (pixels.max(2) - pixels.min(2) > 60).mean()
    assert colourful > 0.005, "the pictures themselves are grey"


def test_masks_are_shown_from_all_over_the_data(tmp_path: Path) -> None:
    """Neighbours in a video look alike; boxes are shown of every class."""
    shown, _ = to_show(mask_data(tmp_path / "masks", count=9), 3)
    assert shown.tolist() == [0, 4, 8]
    ids, labels = to_show(box_data(tmp_path / "boxes", count=9), 4)
    assert sorted(labels) == [0, 0, 1, 1]
    assert len(torch.unique(ids)) == 4


def test_squares_have_no_cell(tmp_path: Path) -> None:
    data = box_data(tmp_path)
    with pytest.raises(ValueError, match="cut to squares"):
        cell_of(ImageData(data.split), SIDE_PX)
