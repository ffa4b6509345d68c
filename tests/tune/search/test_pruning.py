"""Pruning by metric against cost, worked out by hand."""

from __future__ import annotations

import pytest

from fewer.core.evaluation import LOSS, Metric
from fewer.tune.search.pruning import best_by, lags

TOP1 = Metric("top1", "top-1")
# Small batches and large ones, small images and large ones: the same cost buys more or fewer epochs.
OTHERS = [
    [(1.0, 0.2), (2.0, 0.4), (3.0, 0.6)],
    [(0.5, 0.1), (1.0, 0.3), (1.5, 0.5)],
    [(1.0, 0.5), (2.0, 0.4)],
    [(4.0, 0.9)],
    [(1.0, 0.1), (2.0, 0.2)],
]


def test_the_best_by_a_cost_counts_what_was_cheaper_and_over() -> None:
    assert [best_by(each, 2.0, TOP1) for each in OTHERS] == [0.4, 0.5, 0.5, None, 0.2]
    assert best_by([(1.0, 3.0), (2.0, 2.0), (3.0, 2.5)], 3.0, LOSS) == 2.0


@pytest.mark.parametrize(
    ("own", "is_behind"),
    [
        ([(1.0, 0.44), (2.0, 0.44)], True),  # the median at 2.0 is between 0.4 and 0.5
        ([(1.0, 0.46), (2.0, 0.30)], False),  # by its best
        ([(0.4, 0.0)], False),  # spared
        ([(0.5, 0.0)], False),  # one other has begun by then: too few
        ([(1.0, 0.19)], True),
        ([], False),
    ],
)
def test_a_trial_lags_behind_by_the_median_at_its_own_cost(own: list[tuple[float, float]], is_behind: bool) -> None:
    assert lags(own, OTHERS, TOP1, spared=0.5) is is_behind


def test_fewer_than_four_trials_judge_nobody() -> None:
    assert not lags([(2.0, 0.0)], OTHERS[:3], TOP1, spared=0.5)


def test_a_smaller_loss_is_ahead() -> None:
    others = [[(1.0, value)] for value in (1.0, 1.1, 1.2, 1.3)]
    assert lags([(1.0, 1.2)], others, LOSS, spared=0.0)
    assert not lags([(1.0, 1.1)], others, LOSS, spared=0.0)
