"""Augmentation as a whole: neutral keys, purity of every sample, strength, ranges, validation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewer.core.errors import RecipeError
from fewer.data.augment import Augment, Key, chunks
from fewer.recipe.augment_section import AugmentRecipe
from fewer.recipe.parse import parse_recipe

SIDE = 13  # odd, so that samples begin anywhere in a vector register
STORE = torch.randint(0, 256, (40, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
STORE[20:] //= 3
EVERYTHING = Augment(
    crop_padding_px=2,
    padding="reflect",
    flip="random",
    rotation_deg=30.0,
    translate=0.2,
    scale=(0.7, 1.4),
    shear_deg=20.0,
    perspective=0.5,
    brightness=0.5,
    contrast=0.6,
    saturation=0.7,
    hue=0.3,
    trivial_augment=True,
    rand_augment=2,
)

augments = st.builds(
    Augment,
    crop_padding_px=st.integers(0, 3),
    padding=st.sampled_from(["zero", "reflect", "mean"]),
    flip=st.sampled_from(["no", "random", "alternating"]),
    rotation_deg=st.sampled_from([0.0, 45.0, 180.0]),
    translate=st.sampled_from([0.0, 0.4]),
    scale=st.sampled_from([(1.0, 1.0), (0.2, 3.0)]),
    shear_deg=st.sampled_from([0.0, 30.0]),
    perspective=st.sampled_from([0.0, 0.3, 1.0]),
    brightness=st.sampled_from([0.0, 0.5, 3.0]),
    contrast=st.sampled_from([0.0, 0.5]),
    saturation=st.sampled_from([0.0, 0.8]),
    hue=st.sampled_from([0.0, 0.5]),
    trivial_augment=st.booleans(),
    rand_augment=st.sampled_from([0, 0, 1, 3]),
    rand_augment_magnitude=st.sampled_from([0, 9, 30]),
)


def views(augment: Augment, ids: list[int], epoch: int = 0, strength: float = 1.0, seed: int = 5) -> Tensor:
    ids_B = torch.tensor(ids, dtype=torch.int64)
    found = augment.apply(STORE, ids_B % len(STORE), Key(ids_B, seed, epoch), strength)[0]
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    return found


@settings(max_examples=60, deadline=None)
@given(
    augment=augments,
    ids=st.lists(st.integers(0, 10**6), min_size=1, max_size=21, unique=True),
    epoch=st.integers(0, 3),
    data=st.data(),
)
def test_a_view_does_not_depend_on_its_batch(augment: Augment, ids: list[int], epoch: int, data: st.DataObject) -> None:
    together = views(augment, ids, epoch)
    order = data.draw(st.permutations(range(len(ids))))
    assert torch.equal(views(augment, [ids[i] for i in order], epoch), together[list(order)])
    one = data.draw(st.integers(0, len(ids) - 1))
    assert torch.equal(views(augment, [ids[one]], epoch)[0], together[one])


def test_nor_on_the_number_of_threads_and_samples() -> None:
    """Threads cut a large batch where they like, in the middle of a picture too."""
    ids, before = list(range(700)), torch.get_num_threads()
    together = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            together.append(views(EVERYTHING, ids))
    finally:
        torch.set_num_threads(before)
    alone = torch.cat([views(EVERYTHING, [id]) for id in ids[::7]])
    assert all(torch.equal(found[::7], alone) for found in together)


def test_nor_on_the_chunks_that_it_is_worked_on_in(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = views(EVERYTHING, list(range(50)))
    monkeypatch.setattr(chunks, "_VALUES", 4 * STORE[0].numel())
    assert torch.equal(views(EVERYTHING, list(range(50))), whole)


@settings(max_examples=30, deadline=None)
@given(augment=augments, ids=st.lists(st.integers(0, 10**6), max_size=9))
def test_strength_zero_is_the_image(augment: Augment, ids: list[int]) -> None:
    assert torch.equal(views(augment, ids, strength=0.0), STORE[torch.tensor(ids, dtype=torch.int64) % len(STORE)])


NEW = (
    *("rotation_deg", "translate", "scale", "shear_deg", "perspective"),
    *("brightness", "contrast", "saturation", "hue", "trivial_augment", "rand_augment"),
)


@pytest.mark.parametrize("name", NEW)
def test_each_key_does_something_and_changes_with_epoch_seed_and_copy(name: str) -> None:
    augment, ids = replace(Augment(), **{name: getattr(EVERYTHING, name)}), list(range(40))
    plain = views(augment, ids)
    assert (plain != STORE).flatten(1).any(1).sum() > 12
    assert not torch.equal(plain, views(augment, ids, epoch=1))
    assert not torch.equal(plain, views(augment, ids, seed=6))
    ids_B = torch.arange(40)
    assert not torch.equal(plain, augment.apply(STORE, ids_B, Key(ids_B, 5, 0, torch.ones_like(ids_B)))[0])


@pytest.mark.parametrize("name", NEW)
def test_keys_are_drawn_apart(name: str) -> None:
    """Adding a key leaves what the others draw as it is: turning it off in a batch of all gives the batch without."""
    off = replace(EVERYTHING, **{name: getattr(Augment(), name)})
    assert not torch.equal(views(off, list(range(40))), views(EVERYTHING, list(range(40))))
    alone = replace(Augment(), **{name: getattr(EVERYTHING, name)})
    with_flip = replace(alone, flip="random")
    same_B = (views(alone, list(range(40))) == views(with_flip, list(range(40)))).flatten(1).all(1)
    assert 8 < int(same_B.sum()) < 32  # those that are not mirrored


@pytest.mark.parametrize("name", ["rotation_deg", "translate", "scale", "shear_deg", "perspective", "brightness"])
def test_less_strength_changes_less(name: str) -> None:
    """On a smooth picture, the mean change falls with strength."""
    ramp = torch.linspace(40, 200, 32).to(torch.uint8)
    smooth = torch.stack([ramp[:, None].expand(32, 32), ramp[None].expand(32, 32), ramp[:, None].expand(32, 32)], 2)
    augment = replace(Augment(padding="reflect"), **{name: getattr(EVERYTHING, name)})
    ids_B = torch.arange(60)
    changes = []
    for strength in (0.0, 0.2, 0.5, 1.0):
        found = augment.apply(smooth[None].contiguous(), torch.zeros_like(ids_B), Key(ids_B, 0, 0), strength)[0]
        changes.append(float((found.int() - smooth.int()).abs().float().mean()))
    assert changes[0] == 0
    assert changes == sorted(changes)
    assert changes[1] < 0.6 * changes[3]


def test_translations_reach_their_range_in_whole_pixels() -> None:
    dot = torch.zeros(1, 21, 21, 3, dtype=torch.uint8)
    dot[0, 10, 10] = 255
    ids_B = torch.arange(1500)
    found = Augment(translate=0.2).apply(dot, torch.zeros_like(ids_B), Key(ids_B, 0, 0))[0][..., 0]
    assert (found.flatten(1) == 255).sum(1).eq(1).all()  # a whole pixel, never a blend
    place_B2 = (found == 255).nonzero()[:, 1:] - 10
    assert place_B2.amin(0).tolist() == [-4, -4]  # 0.2 of 21 pixels is 4.2
    assert place_B2.amax(0).tolist() == [4, 4]


def test_perspective_is_given_to_its_share() -> None:
    ids = list(range(2000))
    changed_B = (views(Augment(perspective=0.5, perspective_share=0.3), ids) != views(Augment(), ids)).flatten(1).any(1)
    assert 0.25 < float(changed_B.float().mean()) < 0.35


@pytest.mark.parametrize("augment", [Augment(crop_padding_px=4), Augment(rotation_deg=40.0), Augment(translate=0.5)])
def test_mean_padding_keeps_a_flat_picture(augment: Augment) -> None:
    flat = torch.tensor([200, 3, 77], dtype=torch.uint8).expand(1, 9, 9, 3).contiguous()
    ids_B = torch.arange(50)
    given_B = replace(augment, padding="mean").apply(flat, torch.zeros_like(ids_B), Key(ids_B, 0, 0))[0]
    assert torch.equal(given_B, flat.expand_as(given_B))
    black = replace(augment, padding="zero").apply(flat, torch.zeros_like(ids_B), Key(ids_B, 0, 0))[0]
    assert not torch.equal(black, flat.expand_as(black))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"hue": 0.6}, "augment.hue"),
        ({"rotation_deg": 181}, "augment.rotation_deg"),
        ({"brightness": -0.1}, "augment.brightness"),
        ({"brightness": True}, "augment.brightness"),
        ({"scale": [1.2, 0.8]}, "did you mean [0.8, 1.2]?"),
        ({"scale": [0, 1]}, "augment.scale.0"),
        ({"scale": 2}, "a list in square brackets"),
        ({"translate": 2}, "augment.translate"),
        ({"perspective": 0.3, "perspective_share": 0}, "augment.perspective_share"),
        ({"padding": "black"}, "augment.padding"),
        ({"trivial": True}, "augment.trivial_augment"),
        ({"rand_augment": True}, "augment.rand_augment"),
        ({"rand_augment": 2, "rand_augment_magnitude": 31}, "augment.rand_augment_magnitude"),
        ({"rand_augment_magnitude": 5}, "has no effect with augment.rand_augment = 0"),
        ({"erasing_scale": [0.1, 0.2]}, "has no effect with augment.erasing_share = 0"),
        ({"erasing_share": 0.5, "erasing_scale": [0.4, 0.2]}, "augment.erasing_scale"),
        ({"erasing_share": 0.5, "erasing_ratio": [1, 200]}, "augment.erasing_ratio"),
        ({"erasing_share": 25}, "augment.erasing_share"),
    ],
)
def test_what_cannot_be_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "augment": section})
    assert any(said in problem for problem in caught.value.problems)


def test_all_problems_come_at_once_and_defaults_are_neutral() -> None:
    wrong = {"hue": 1, "scale": [2, 1], "shear_deg": 90, "trivial_augment": "yes"}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "augment": wrong})
    assert len(caught.value.problems) == 4
    ids = list(range(40))
    defaults = AugmentRecipe().model_dump(include=set(NEW) | {"perspective_share", "padding"})
    assert defaults == {key: getattr(Augment(), key) for key in defaults}
    assert torch.equal(views(Augment(**defaults), ids), STORE)


@pytest.mark.parametrize(("side_px", "strength", "expected"), [(32, 1.0, 4), (24, 1.0, 3), (16, 1.0, 2), (32, 0.5, 2)])
def test_lengths_scale_with_side_and_strength(side_px: int, strength: float, expected: int) -> None:
    assert Augment(crop_padding_px=4, reference_side_px=32).scaled(4, side_px, strength) == expected
