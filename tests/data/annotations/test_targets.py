"""Boxes and masks of letterboxed pictures, held against the pictures' own pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.core.frame import Frame, frame_of
from fewer.core.objects import ObjectTable
from fewer.core.ragged import Ragged, dense
from fewer.core.types import Batch, Request
from fewer.data.annotations.targets import VOID, BoxTargets, MaskTargets, PictureSizes
from fewer.data.augment import Augment
from fewer.data.decode.letterbox import decode_letterboxed
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split, open_splits
from fewer.data.loader import Loader
from fewer.data.settings import InputSettings, ViewSettings

SIZES = ((64, 48), (48, 64), (96, 32), (40, 40))  # width and height
COLOURS = np.array([[10, 10, 10], [250, 20, 20], [20, 250, 20], [20, 20, 250]], np.uint8)
EXACT = InputSettings(std=(1 / 255,) * 3)  # values of pixels


def quarters(width: int, height: int) -> np.ndarray:
    """Class ids 0 to 3 in the quarters of a picture."""
    return (np.arange(height)[:, None] >= height // 2) * 2 + (np.arange(width)[None] >= width // 2)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    root: Path = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate(SIZES):
        (root / "a").mkdir(exist_ok=True)
        (root / "b").mkdir(exist_ok=True)
        Image.fromarray(COLOURS[quarters(*size)]).save(root / "ab"[number % 2] / f"{number}.png")
    return open_splits(f"folder:{root}", "none", "none").train


def sizes_of(split: Split) -> list[tuple[int, int]]:
    return [SIZES[int(Path(name).stem)] for name in split.source.names]


@given(st.integers(32, 700), st.floats(0.2, 5))
def test_a_frame_has_the_side_and_the_aspect(side_px: int, aspect: float) -> None:
    frame = frame_of(side_px, aspect)
    assert max(frame) == side_px
    shorter = side_px * min(aspect, 1 / aspect)
    assert min(side_px, shorter - 1) <= min(frame) < shorter + 33
    assert (frame.width_px >= frame.height_px) == (aspect >= 1) or min(frame) == side_px


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(32, 32), (32, 64), (64, 48)]))
def test_a_whole_picture_lies_in_the_middle_of_its_square(width: int, height: int, frame: tuple[int, int]) -> None:
    raw, side_px = io.BytesIO(), max(frame)
    Image.new("RGB", (width, height), "white").save(raw, "PNG")
    found = decode_letterboxed(raw.getvalue(), side_px, Frame(*frame))
    rows, columns = (np.flatnonzero(found.picture.any((2, axis))) for axis in (1, 0))
    shown = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    scale = min(frame[1] / width, frame[0] / height)
    assert shown == (max(1, round(width * scale)), max(1, round(height * scale)))
    box = found.box
    assert (box.right - box.left) * shown[0] == pytest.approx(side_px * width)
    assert -box.left * shown[0] == pytest.approx(columns[0] * width)
    assert -box.top * shown[1] == pytest.approx(rows[0] * height)


@pytest.mark.parametrize("flip", ["no", "random"])
@pytest.mark.parametrize("where", ["memory", "files"])
def test_masks_say_what_the_pixels_show(split: Split, where: str, flip: str) -> None:
    masks = MaskTargets(lambda id: quarters(*sizes_of(split)[id]).astype(np.uint8))
    augment = Augment(flip=flip, scale=(0.7, 1.4), rotation_deg=10) if flip == "random" else Augment()  # type: ignore[arg-type]
    views = ViewSettings(augment, aspect=1.5)
    loader = Loader(0) if where == "files" else None
    data = ImageData(split, views, EXACT, loader=loader, annotations=masks)
    request = Request(split.ids_M, 1, 96, strength=float(flip == "random"))
    (batch,) = data.batches([request])
    assert batch.inputs.shape[2:] == (64, 96)
    mask_BHW = batch.targets if request.strength else Ragged(tuple(each["mask"] for each in batch.targets))  # type: ignore[index]
    wrong, known = 0, 0
    for pixels_CHW, mask_HW in zip(dense(batch.inputs), mask_BHW, strict=True):
        assert torch.equal(pixels_CHW.abs().sum(0)[mask_HW == VOID], torch.zeros(int((mask_HW == VOID).sum())))
        colours = torch.from_numpy(COLOURS).float()
        nearest_HW = (pixels_CHW.permute(1, 2, 0)[..., None, :] - colours).abs().sum(-1).argmin(-1)
        wrong += int((nearest_HW != mask_HW)[mask_HW != VOID].sum())
        known += int((mask_HW != VOID).sum())
    assert wrong < 0.08 * known, "but for the blends between quarters"
    assert known > 0.3 * 64 * 96


def test_an_evaluation_view_leads_back_to_the_picture(split: Split) -> None:
    sizes = sizes_of(split)
    table = ObjectTable.of([([[0, 0, w, h], [w / 4, h / 4, w / 2, h / 2]], [1, 0]) for w, h in sizes])
    data = ImageData(split, ViewSettings(aspect=1.5), annotations=BoxTargets(table))
    (batch,) = data.batches([Request.evaluation(96, 0, split.ids_M)])
    for target, size in zip(batch.targets, sizes, strict=True):
        assert target["size"].tolist() == list(size)  # type: ignore[index]
        ax, bx, ay, by = target["to_picture"].tolist()  # type: ignore[index]
        back = target["boxes"].double() * torch.tensor([ax, ay, ax, ay]) + torch.tensor([bx, by, bx, by])  # type: ignore[index]
        assert torch.allclose(back, target["own_boxes"], atol=1e-4)  # type: ignore[index]
        assert target["labels"].tolist() == [1, 0]  # type: ignore[index]


def test_boxes_follow_their_pictures(split: Split) -> None:
    table = ObjectTable.of([([[w / 2, h / 2, w, h]], [3]) for w, h in sizes_of(split)])  # the blue quarter
    views = ViewSettings(Augment(flip="random", scale=(0.8, 1.2), translate=0.1), aspect=1.5, seed=4)
    data = ImageData(split, views, EXACT, annotations=BoxTargets(table))
    for epoch in range(4):
        (batch,) = data.batches([Request(split.ids_M, epoch, 96)])
        for pixels_CHW, target in zip(dense(batch.inputs), batch.targets, strict=True):
            blue_HW = (pixels_CHW[2] > 150) & (pixels_CHW[0] < 100) & (pixels_CHW[1] < 100)
            y_K, x_K = blue_HW.nonzero().unbind(1)
            found = [x_K.min(), y_K.min(), x_K.max() + 1, y_K.max() + 1]
            assert torch.allclose(target["boxes"][0], torch.stack(found).float(), atol=2.0)  # type: ignore[index]


def test_crowds_and_what_is_hardly_seen_are_not_trained_on(split: Split) -> None:
    boxes = [([[0, 0, w, h], [1, 1, 9, 9]], [0, 0]) for w, h in sizes_of(split)]
    table = ObjectTable.of(boxes)
    table.crowd_A[::2] = True
    data = ImageData(split, ViewSettings(Augment(scale=(8.0, 8.0)), aspect=1.0), annotations=BoxTargets(table))
    (training,) = data.batches([Request(split.ids_M, 0, 64)])
    assert [len(target["labels"]) for target in training.targets] == [0] * len(SIZES)  # type: ignore[index]
    (looked_at,) = data.batches([Request.evaluation(64, 0, split.ids_M)])
    for target in looked_at.targets:
        assert (len(target["labels"]), target["own_crowd"].tolist()) == (1, [True, False])  # type: ignore[index]


def test_images_without_labels_say_where_they_lie(split: Split) -> None:
    data = ImageData(split, ViewSettings(aspect=1.0))
    (batch,) = data.batches([Request.evaluation(64, 0, split.ids_M)])
    assert isinstance(data._annotations, PictureSizes)
    assert isinstance(batch, Batch)
    assert [tuple(each["size"].tolist()) for each in batch.targets] == sizes_of(split)  # type: ignore[index]


def test_statistics_of_pixels_leave_the_room_around_pictures_out(split: Split) -> None:
    whole, cut = (ImageData(split, ViewSettings(aspect=aspect)).moments(64)[0] for aspect in (1.0, None))
    assert whole == pytest.approx(cut, abs=0.05)


def test_masks_are_kept_as_long_as_the_bytes_of_all_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewer.data.annotations.targets._KEPT_BYTES", 12)
    sides, read = (3, 1, 2, 1), list[int]()
    masks = MaskTargets(lambda id: read.append(id) or np.zeros((sides[id],) * 2, np.uint8))
    for id in (0, 1, 2, 3, 0, 1, 2, 3):
        masks._mask(id)
    assert read == [0, 1, 2, 3, 2], "9 + 1 bytes, 4 more that have no room, and 1 more that has"
