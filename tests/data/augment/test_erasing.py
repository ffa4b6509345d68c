"""Random erasing against timm's, and how it is drawn."""

from __future__ import annotations

import random

import pytest
import torch

from fewer.data.augment import Augment, Key
from fewer.data.augment.erasing import Erasing

ERASING = Erasing(1.0, (0.02, 0.4), (0.3, 3.3))


class Numbers:
    """In place of the module `random`: timm draws places only once a size fits: tries leave numbers over."""

    def __init__(self, numbers: list[float]) -> None:
        self.tries = (numbers[first : first + 4] for first in range(0, len(numbers), 4))
        self.left: list[float] = []

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        if len(self.left) != 3:  # an area, with which a try begins, and not the shape that goes with it
            self.left = next(self.tries)[:]
        return low + (high - low) * self.left.pop(0)

    def randint(self, low: int, high: int) -> int:
        return low + int(self.left.pop(0) * (high - low + 1))


@pytest.mark.parametrize("erasing", [ERASING, Erasing(1.0, (0.6, 1.0), (0.2, 5.0))])
def test_rectangles_are_timms(erasing: Erasing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same random numbers give the same rectangle, also where the first tries do not fit."""
    theirs = pytest.importorskip("timm.data.random_erasing")
    erase = theirs.RandomErasing(1.0, *erasing.scale, *erasing.ratio, device="cpu")
    chance, blanked = random.Random(0), 0
    for side_px in (12, 33):
        for _ in range(60):
            numbers = [chance.random() for _ in range(40)]
            monkeypatch.setattr(theirs, "random", Numbers(numbers))
            image = torch.ones(3, side_px, side_px)
            erase(image)
            top, left, high, wide = erasing.place(numbers, side_px)
            expected = torch.ones_like(image)
            expected[:, top : top + high, left : left + wide] = 0
            assert torch.equal(image, expected)
            blanked += int((image == 0).any())
    assert blanked > 100 if erasing is ERASING else 10 < blanked < 120


def test_its_share_of_views_is_erased_within_its_bounds() -> None:
    key = Key(torch.arange(3000), 0, 0)
    blank_BHW = Erasing(0.3, (0.1, 0.3), (0.5, 2.0)).blank(key, 40, 1.0)
    assert blank_BHW is not None
    erased = blank_BHW.flatten(1).any(1)
    assert 0.27 < float(erased.float().mean()) < 0.33
    area = blank_BHW.flatten(1).float().mean(1)[erased]
    assert 0.09 < float(area.min()) < 0.12
    assert 0.28 < float(area.max()) < 0.31
    half_BHW = Erasing(0.3, (0.1, 0.3), (0.5, 2.0)).blank(key, 40, 0.5)
    assert half_BHW is not None
    assert torch.equal(half_BHW.flatten(1).any(1), erased)
    assert float(half_BHW.float().mean()) == pytest.approx(float(blank_BHW.float().mean()) / 2, rel=0.03)


def test_blanks_add_to_cutout_and_are_drawn_by_sample_epoch_and_copy() -> None:
    store, ids = torch.full((30, 20, 20, 3), 9, dtype=torch.uint8), torch.arange(30)

    def blank(augment: Augment, key: Key) -> torch.Tensor:
        found = augment.apply(store, key.ids_B, key).blank_BHW
        assert found is not None
        return found

    cut, erased, both = Augment(cutout_px=5), Augment(erasing_share=0.5), Augment(cutout_px=5, erasing_share=0.5)
    key = Key(ids, 3, 1)
    assert torch.equal(blank(both, key), blank(cut, key) | blank(erased, key))
    assert torch.equal(blank(erased, Key(ids[7:19], 3, 1)), blank(erased, key)[7:19])
    for other in (Key(ids, 3, 2), Key(ids, 4, 1), Key(ids, 3, 1, torch.ones_like(ids))):
        assert not torch.equal(blank(erased, key), blank(erased, other))
    assert Augment().apply(store, ids, key).blank_BHW is None
    assert erased.apply(store, ids, key, strength=0.0).blank_BHW is None
