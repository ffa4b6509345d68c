"""Shift-crop, flip and cutout: pixel for pixel what a slow loop over single samples makes with numpy's own padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewer.core import rng
from fewer.data.augment import Augment, Key

SIDE = 8
STORE = torch.randint(0, 256, (30, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

augments = st.builds(
    Augment,
    crop_padding_px=st.integers(0, 5),
    padding=st.sampled_from(["zero", "reflect"]),
    flip=st.sampled_from(["no", "random", "alternating"]),
    cutout_px=st.integers(0, SIDE),
    reference_side_px=st.sampled_from([None, SIDE, 2 * SIDE]),
)
id_lists = st.lists(st.integers(0, len(STORE) - 1), min_size=1, max_size=12)


def draw(purpose: str, epoch: int | None, id: int, copy: int, seed: int) -> float:
    parts = (purpose,) if epoch is None else (purpose, epoch)
    return float(rng.uniform(torch.tensor([id]), seed, *parts, copy_B=torch.tensor([copy])))


def slow_view(
    augment: Augment, id: int, copy: int, seed: int, epoch: int, strength: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """One sample, one step after the other."""
    image, blank = STORE[id].numpy(), np.zeros((SIDE, SIDE), bool)
    scale = strength * SIDE / (augment.reference_side_px or SIDE)
    padding = min(int(augment.crop_padding_px * scale + 0.5), SIDE - 1)
    if strength == 0:
        return image, blank
    if padding:
        mode: Any = {"zero": "constant", "reflect": "reflect"}[augment.padding]
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode=mode)
        top, left = (int(draw(purpose, epoch, id, copy, seed) * (2 * padding + 1)) for purpose in ("crop_y", "crop_x"))
        image = padded[top : top + SIDE, left : left + SIDE]
    flip = augment.flip == "random" and draw("flip", epoch, id, copy, seed) >= 0.5
    if augment.flip == "alternating":
        flip = (draw("flip", None, id, copy, seed) >= 0.5) != (epoch % 2 == 1)
    cut = min(int(augment.cutout_px * scale + 0.5), SIDE)
    if cut:
        top, left = (
            int(draw(purpose, epoch, id, copy, seed) * (SIDE - cut + 1)) for purpose in ("cutout_y", "cutout_x")
        )
        blank[top : top + cut, left : left + cut] = True
    return image[:, ::-1] if flip else image, blank


def views(augment: Augment, ids: list[int], epoch: int = 0, strength: float = 1.0, seed: int = 5) -> Tensor:
    ids_B = torch.tensor(ids)
    return augment.apply(STORE, ids_B, Key(ids_B, seed, epoch), strength)[0]


@settings(max_examples=80, deadline=None)
@given(augment=augments, ids=id_lists, epoch=st.integers(0, 4), strength=st.sampled_from([0.0, 0.5, 1.0]))
def test_equal_to_one_sample_at_a_time(augment: Augment, ids: list[int], epoch: int, strength: float) -> None:
    ids_B = torch.tensor(ids)
    copy_B = torch.arange(len(ids))
    got_BHWC, blank_BHW, _ = augment.apply(STORE, ids_B, Key(ids_B, 5, epoch, copy_B), strength)
    for i, id in enumerate(ids):
        view, blank = slow_view(augment, id, i, 5, epoch, strength)
        assert np.array_equal(got_BHWC[i].numpy(), view)
        assert np.array_equal(blank if blank_BHW is None else blank_BHW[i].numpy(), blank)


@settings(max_examples=50, deadline=None)
@given(augment=augments, ids=id_lists, epoch=st.integers(0, 4), data=st.data())
def test_a_view_does_not_depend_on_its_batch(augment: Augment, ids: list[int], epoch: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(ids))))
    shuffled = views(augment, [ids[i] for i in order], epoch)
    assert torch.equal(shuffled, views(augment, ids, epoch)[list(order)])
    assert torch.equal(views(augment, ids[:1], epoch)[0], views(augment, ids, epoch)[0])


@given(augment=augments, ids=id_lists, epoch=st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_strength_zero_is_the_image(augment: Augment, ids: list[int], epoch: int) -> None:
    ids_B = torch.tensor(ids)
    got_BHWC, blank_BHW, _ = augment.apply(STORE, ids_B, Key(ids_B, 5, epoch), 0.0)
    assert torch.equal(got_BHWC, STORE[ids_B])
    assert blank_BHW is None


def test_alternating_flip_alternates() -> None:
    augment = Augment(flip="alternating")
    ids = list(range(len(STORE)))
    first, second, third = (views(augment, ids, epoch) for epoch in range(3))
    assert torch.equal(first, third)
    assert torch.equal(second, first.flip(2))
    mirrored_B = (first != STORE).flatten(1).any(1)
    assert 5 < int(mirrored_B.sum()) < 25


def test_views_change_with_seed_epoch_and_copy() -> None:
    augment = Augment(crop_padding_px=3, flip="random")
    ids = list(range(len(STORE)))
    ids_B = torch.tensor(ids)
    plain = views(augment, ids)
    assert not torch.equal(plain, views(augment, ids, epoch=1))
    assert not torch.equal(plain, views(augment, ids, seed=6))
    copies = augment.apply(STORE, ids_B, Key(ids_B, 5, 0, torch.ones_like(ids_B)))[0]
    assert not torch.equal(plain, copies)


def test_all_shifts_are_drawn_equally_often() -> None:
    ids_B = torch.arange(9000)
    offset_B = Key(ids_B, 0, 0).below(9, "crop_y")
    assert torch.bincount(offset_B, minlength=9).float().sub(1000).abs().max() < 130


def test_no_samples_no_views() -> None:
    augment = Augment(crop_padding_px=2, flip="random", cutout_px=3)
    none = torch.empty(0, dtype=torch.int64)
    assert augment.apply(STORE, none, Key(none, 0, 0))[0].shape == (0, SIDE, SIDE, 3)
