"""Repeat-factor sampling: hand-worked cases, and what an epoch costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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
