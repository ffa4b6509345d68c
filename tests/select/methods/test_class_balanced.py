"""Class-balanced and square-root sampling by hand, its properties, and whole runs, those of repeat factors too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At
from fewer.recipe.parse import parse_recipe
from fewer.testing import check_selector
from fewer.testing.harness import interrupted, one_thread, trained, weights
from stories import build_on, epoch_of, population_of

VARIANTS: list[dict[str, Any]] = [
    {"method": "class_balanced", "power": 0.5, "revision": "2ep"},
    {"method": "class_balanced", "power": 0.0},
]


@pytest.mark.parametrize("content", VARIANTS, ids=str)
def test_every_variant_keeps_the_contract(content: dict[str, Any]) -> None:
    check_selector(lambda population: build_on(content, population))


@pytest.mark.parametrize(
    ("power", "parts"),
    [
        (1.0, [6, 6, 6]),  # 18 images of 12 + 4 + 2
        (0.5, [9, 5, 4]),  # 18 x (3.464, 2, 1.414) / 6.878 = 9.07, 5.23, 3.70
        (0.0, [12, 4, 2]),
    ],
)
def test_class_balanced_by_hand(power: float, parts: list[int]) -> None:
    """Three epochs of 18 samples: exact parts, full repetitions before any sample is repeated once more, fresh lots."""
    population = population_of([12, 4, 2])
    epochs = [epoch_of({"method": "class_balanced", "power": power}, population, e) for e in range(3)]
    for ids in epochs:
        assert population.group_N[ids].bincount(minlength=3).tolist() == parts
        repeats = ids.bincount(minlength=18)
        for first, last, part in ((0, 12, parts[0]), (12, 16, parts[1]), (16, 18, parts[2])):
            whole, rest = divmod(part, last - first)
            assert sorted(repeats[first:last].tolist()) == [whole] * (last - first - rest) + [whole + 1] * rest
    if power:
        assert len({tuple(sorted(ids.tolist())) for ids in epochs}) == 3, "drawn again in each epoch"
    else:
        assert all(sorted(ids.tolist()) == list(range(18)) for ids in epochs)
    series = build_on({"method": "class_balanced", "power": power}, population).series(Table(18))
    assert series["quota_per_class"].tolist() == parts


def test_class_balanced_draws_every_sample_of_a_class_equally_often() -> None:
    population, counts = population_of([12, 4, 2]), torch.zeros(18)
    selector = build_on({"method": "class_balanced"}, population, epochs=1000)
    for epoch in range(1000):
        counts += selector.select(Table(18), torch.arange(18), At(epoch, 1000, 0.0)).ids_M.bincount(minlength=18)
    assert (counts[:12] - 500).abs().max() < 5 * (1000 * 0.25) ** 0.5
    assert (counts[12:16] - 1500).abs().max() < 5 * (1000 * 0.25) ** 0.5
    assert counts[16:].tolist() == [3000, 3000]


@given(st.lists(st.integers(1, 60), min_size=2, max_size=9), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_an_epoch_of_class_balanced_is_as_long_as_plain_training(counts: list[int], power: float, epoch: int) -> None:
    population = population_of(counts, seed=2)
    ids = epoch_of({"method": "class_balanced", "power": power}, population, epoch)
    assert len(ids) == sum(counts)
    found = population.group_N[ids].bincount(minlength=len(counts)).double()
    weight = torch.tensor(counts, dtype=torch.float64) ** (1 - power)
    assert (found - weight / weight.sum() * sum(counts)).abs().max() < 1 + 1e-9
    for c in range(len(counts)):
        repeats = ids[population.group_N[ids] == c].bincount()[population.group_N.tolist().index(c) :]
        assert len(repeats) == 0 or int(repeats.max()) - int(repeats.min()) <= 1


@pytest.mark.parametrize(
    "content",
    [
        {"method": "class_balanced", "power": 1.5},
        {"method": "class_balanced", "share": 0.5},
        {"method": "repeat_factor", "threshold": 2.0},
        {"method": "repeat_factor", "threshold": "all"},
        {"method": "class_balance"},
    ],
)
def test_wrong_parameters_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"select\.\w+"):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "select": content})


def test_boxes_and_masks_have_no_class_to_balance() -> None:
    """Their groups are numbers of objects, which even parts would balance in the place of classes."""
    population = Population(0, torch.tensor([0, 1, 1, 2]), 3, groups_are_classes=False)
    with pytest.raises(RecipeError, match=r'select\.method = "repeat_factor"'):
        build_on({"method": "class_balanced"}, population)


RUN: dict[str, Any] = {
    "data": {"source": "digits", "test": "80%", "val": "none", "long_tail": {"factor": 6.0}},
    "model": {"name": "lenet5", "width": 0.1},
    "augment": {"crop_padding_px": 2},
    "train": {"epochs": 2, "batch_size": 24, "lr": 0.05, "precision": "fp32"},
}


def test_neutral_settings_give_the_plain_run() -> None:
    with one_thread():
        plain = weights(trained(RUN))
        for neutral in ({"method": "class_balanced", "power": 0.0}, {"method": "repeat_factor", "threshold": 0.0}):
            assert weights(trained({**RUN, "select": neutral})) == plain


@pytest.mark.parametrize("method", ["class_balanced", "repeat_factor"])
def test_a_run_with_repeats_is_booked_and_resumed_exactly(method: str) -> None:
    content = {**RUN, "select": {"method": method}}
    with one_thread():
        whole = trained(content)
        border = whole.run.cursor.step // 2
        assert interrupted(content, [border - 2, border + 3]).run.digest() == whole.run.digest()
    ids, images = whole.splits.train.ids_M, len(whole.splits.train)
    visits = whole.run.selection.table.visits_N[ids]
    booked = whole.run.ledger.total("samples_backpropagated")
    assert booked == int(visits.sum())
    low, high = whole.plan.predicted["samples_backpropagated"]
    assert low <= booked <= high
    if method == "class_balanced":
        assert booked == 2 * images
    rare = whole.splits.train.label_N[ids] == 9
    assert visits[rare].double().mean() > 1.5 * visits[~rare].double().mean()
