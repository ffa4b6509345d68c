"""Repeat-factor sampling: hand-worked cases, and what an epoch costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.core.population import Population, ShownClasses
from fewer.core.table import Table
from fewer.core.types import At
from fewer.testing import check_selector
from stories import build_on, epoch_of, population_of

VARIANTS: list[dict[str, Any]] = [
    {"method": "repeat_factor", "threshold": 0.9},
    {"method": "repeat_factor", "threshold": 0.0},
]


@pytest.mark.parametrize("content", VARIANTS, ids=str)
def test_every_variant_keeps_the_contract(content: dict[str, Any]) -> None:
    check_selector(lambda population: build_on(content, population))


def test_repeat_factors_by_hand() -> None:
    """Shares 12/18, 4/18, 2/18 with threshold 1/2: factors 1, 1.5, 2.1213."""
    population = population_of([12, 4, 2])
    selector = build_on({"method": "repeat_factor", "threshold": 0.5}, population)
    assert selector.series(Table(18))["repeats_per_class"].tolist() == pytest.approx([1.0, 1.5, 4.5**0.5])
    total = torch.zeros(18)
    for epoch in range(2000):
        repeats = selector.select(Table(18), torch.arange(18), At(epoch, 2000, 0.0)).ids_M.bincount(minlength=18)
        assert repeats[:12].tolist() == [1] * 12
        assert set(repeats[12:16].tolist()) <= {1, 2}
        assert set(repeats[16:].tolist()) <= {2, 3}
        total += repeats
    assert (total[12:16] / 2000).tolist() == pytest.approx([1.5] * 4, abs=0.06)
    assert (total[16:] / 2000).tolist() == pytest.approx([4.5**0.5] * 2, abs=0.06)
    expects = selector.expected(At(0, 6, 0.0))
    assert expects.kept_low <= (12 + 4 * 1.5 + 2 * 4.5**0.5) / 18 <= expects.kept_high <= (12 + 4 * 2 + 2 * 3) / 18


def test_auto_is_an_equal_share() -> None:
    population = population_of([30, 20, 10])
    automatic, given_share = (
        epoch_of({"method": "repeat_factor", "threshold": each}, population) for each in ("auto", 1 / 3)
    )
    assert torch.equal(automatic, given_share)
    assert len(automatic) > 60


def test_a_long_epoch_is_foretold_closely() -> None:
    population = population_of([6000, 2000, 500, 60])
    expects = build_on({"method": "repeat_factor"}, population).expected(At(0, 6, 0.0))
    assert expects.kept_high - expects.kept_low < 0.03
    for epoch in range(6):
        share = len(epoch_of({"method": "repeat_factor"}, population, epoch)) / 8560
        assert expects.kept_low <= share <= expects.kept_high


def test_an_image_is_repeated_by_the_rarest_class_that_it_shows() -> None:
    """Of eight images all show class 0, two class 1, one class 2, and one nothing: threshold 1/2 gives 1, sqrt 2, 2."""
    shown = ShownClasses(torch.tensor([0, 1, 2, 3, 4, 5, 6, 0, 1, 1]), torch.tensor([0] * 7 + [1, 1, 2]), 3)
    groups = Population(0, torch.tensor([1] * 7 + [0]), 2, groups_are_classes=False, shown=shown)
    selector = build_on({"method": "repeat_factor", "threshold": 0.5}, groups)
    assert selector.series(Table(8))["repeats_per_class"].tolist() == pytest.approx([1.0, 2**0.5, 2.0])
    counts = [
        selector.select(Table(8), torch.arange(8), At(epoch, 400, 0.0)).ids_M.bincount(minlength=8)
        for epoch in range(400)
    ]
    mean = torch.stack(counts).double().mean(0).tolist()
    assert mean[1:] == [2.0] + [1.0] * 6
    assert mean[0] == pytest.approx(2**0.5, abs=0.1)
    expects = selector.expected(At(0, 6, 0.0))
    assert expects.kept_low <= (2**0.5 + 2 + 6) / 8 <= expects.kept_high


@given(st.lists(st.sets(st.integers(0, 5)), min_size=2, max_size=40), st.floats(0.0, 1.0), st.integers(0, 9))
def test_no_image_is_ever_left_out(classes: list[set[int]], threshold: float, epoch: int) -> None:
    """Whatever images show: each is there, and no more often than its rarest class asks for, rounded up."""
    pairs = [(image, each) for image, found in enumerate(classes) for each in sorted(found)]
    id_P, class_P = (torch.tensor([pair[place] for pair in pairs], dtype=torch.int64) for place in (0, 1))
    group_N = torch.zeros(len(classes), dtype=torch.int64)
    population = Population(0, group_N, 1, groups_are_classes=False, shown=ShownClasses(id_P, class_P, 6))
    chosen = epoch_of({"method": "repeat_factor", "threshold": threshold}, population, epoch)
    counts = chosen.bincount(minlength=len(classes))
    for image, found in enumerate(classes):
        shares = [sum(each in other for other in classes) / len(classes) for each in found]
        highest = max((max(1.0, (threshold / share) ** 0.5) for share in shares), default=1.0)
        assert 1 <= int(highest) <= int(counts[image]) <= math.ceil(highest + 1e-9)


def test_images_of_which_nobody_knows_what_they_show_are_refused() -> None:
    population = Population(0, torch.zeros(4, dtype=torch.int64), 1, groups_are_classes=False)
    with pytest.raises(RecipeError, match="nobody has said which classes"):
        build_on({"method": "repeat_factor"}, population)
