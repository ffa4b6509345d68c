"""Budgets by hand: what epochs cost, the share that a cost pays for, and what is refused or warned of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer import select
from fewer.core.types import At, Expectation
from fewer.select.budget import Budget, asked_cost
from fewer.select.budget_checks import budget_too_small, mostly_scored, too_few_samples

BUDGET = Budget(images=100, training_flops=(3, 3, 12), scoring_flops=(1, 1, 4))


def at_share(at: At) -> Expectation:
    """Trains on the given share and looks at nothing."""
    share = 1.0 if at.share is None else at.share
    return Expectation(share, share)


def with_look(at: At) -> Expectation:
    """Trains on the given share and scores all images before each epoch."""
    return replace(at_share(at), scored=1.0)


def test_a_budget_adds_up() -> None:
    assert BUDGET.epochs == 3
    assert BUDGET.full_flops == 100 * (3 + 3 + 12)
    assert BUDGET.at(1, 0.5) == At(1, 3, 1 / 3, 0.5)
    assert BUDGET.epoch_flops(2, Expectation(0.25, 0.5, scored=0.1)) == (25 * 12 + 40, 50 * 12 + 40)
    assert BUDGET.remaining_flops(with_look, 1, 0.5) == 50 * (3 + 12) + 100 * (1 + 4)


def test_what_comes_after_the_last_epoch_is_paid_where_it_is_due() -> None:
    budget = replace(BUDGET, after_partial_flops=7.0)
    assert budget.remaining_flops(at_share, 0, 1.0) == budget.full_flops, "all images: training's statistics fit"
    assert budget.remaining_flops(at_share, 2, 0.5) == 50 * 12 + 7
    assert replace(BUDGET, after_flops=7.0).remaining_flops(at_share, 2, 1.0) == 100 * 12 + 7


def test_without_a_cost_the_method_decides() -> None:
    assert BUDGET.affordable_level(at_share, 0, 0.0) is None
    assert not BUDGET.missed_cost(1e9)
    assert not budget_too_small(BUDGET, with_look, "m")
    assert not mostly_scored(BUDGET, lambda at: Expectation(0.1, 0.1, scored=1.0))


def test_a_cost_is_shared_out_over_the_epochs_that_are_left() -> None:
    budget = replace(BUDGET, cost=0.5)
    assert budget.affordable_level(at_share, 0, 0.0) == pytest.approx(0.5, abs=0.01)
    spent = 300.0  # the first epoch took all images: 600 of 900 are left, for epochs of 300 and 1200
    assert budget.affordable_level(at_share, 1, spent) == pytest.approx(0.4, abs=0.01)
    assert budget.affordable_level(with_look, 0, 0.0) == pytest.approx((900 - 600) / 1800, abs=0.01)
    assert budget.affordable_level(at_share, 2, 900.0) == 0.0, "nothing is left to spend"
    assert replace(budget, cost=1.0).affordable_level(at_share, 0, 0.0) == 1.0
    assert replace(budget, before_flops=360.0).first_level(at_share) == pytest.approx(0.3, abs=0.01)


epoch_flops = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(st.floats(0.05, 1), st.integers(50, 5000), epoch_flops, st.floats(0, 0.9))
@settings(deadline=None)
def test_the_affordable_level_pays_for_the_run_and_hardly_less(
    cost: float, images: int, flops: list[int], scored: float
) -> None:
    budget = Budget(images, tuple(3 * f for f in flops), tuple(flops), cost)

    def expected(at: At) -> Expectation:
        return replace(at_share(at), scored=scored)

    share = budget.affordable_level(expected, 0, 0.0)
    assert share is not None
    left = cost * budget.full_flops - budget.remaining_flops(expected, 0, share)
    if budget.smallest_cost(expected) > cost:
        assert share == 0.0
    else:
        assert left >= 0
        assert share == 1.0 or left <= 3 * sum(flops), "not an image more an epoch"


def test_a_missed_cost_is_said() -> None:
    budget = replace(BUDGET, cost=0.5)
    assert not budget.missed_cost(0.504 * budget.full_flops)
    assert budget.missed_cost(0.6 * budget.full_flops) == (
        "select.cost = 0.5 was missed: the run took 0.6 of the full cost"
    )


def test_a_cost_below_the_smallest_is_refused_and_the_smallest_is_named() -> None:
    budget = replace(BUDGET, cost=0.3, before_flops=90.0)  # 600 for scoring, 90 before: 0.3834 of 1800
    assert budget.smallest_cost(with_look) == pytest.approx(690 / 1800)
    said = budget_too_small(budget, with_look, "rho", "give select.reference a model")
    assert said.startswith('select.cost = 0.3: select.method = "rho" cannot do with less than 0.384 of the full cost')
    assert "use 0.384 or more, give select.reference a model" in said
    assert "select.reference" not in budget_too_small(budget, with_look, "dbpd")
    assert not budget_too_small(replace(budget, cost=0.384), with_look, "rho")
    assert "leave select.cost out" in budget_too_small(replace(budget, before_flops=2000.0), with_look, "rho")


def test_an_epoch_of_one_image_is_refused() -> None:
    assert "keeps 1 of the 100 training images in epoch 2" in too_few_samples(
        BUDGET, lambda at: Expectation(0.0, 0.01 if at.epoch else 1.0), "m"
    )
    assert not too_few_samples(BUDGET, lambda at: Expectation(0.0, 0.02), "m"), "two would do"


def test_a_cost_that_goes_into_scoring_is_warned_of() -> None:
    assert "buys more scoring than training in epoch 1" in mostly_scored(replace(BUDGET, cost=0.5), with_look)
    assert not mostly_scored(replace(BUDGET, cost=0.9), with_look)


def test_only_methods_that_have_a_cost_are_asked_for_it() -> None:
    assert asked_cost(select.params("random")(method="random", cost=0.4)) == 0.4
    assert asked_cost(select.params("random")(method="random")) is None
    assert asked_cost(select.default()) is None
