"""What a chooser cannot be built with, and why."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import DataError, FewerError, RecipeError
from fewer.select.method_params import ScoredParams
from fewer.select.own_loop.settings import population_of, read
from own_loops import build


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"method": "dpbd"}, RecipeError, 'did you mean "dbpd"'),
        ({"method": "dbpd", "treshold": 0.3}, RecipeError, 'unknown key "treshold"; did you mean "threshold"'),
        ({"method": "dbpd", "threshold": 3.0}, RecipeError, "threshold = 3.0"),
        ({"method": "dbpd", "cost": 0.1}, RecipeError, "cannot do with less than 0.2"),
        ({"method": "dbpd", "batches": "shrink"}, RecipeError, "batches are your loader's"),
        ({"method": "dbpd", "score": "fresh", "scorer_side_px": 16}, RecipeError, "the scoring forward is your loop's"),
        ({"method": "random", "revision": "9ep"}, RecipeError, "longer than the run"),
        ({"method": "random", "epochs": 0}, RecipeError, "epochs = 0"),
        ({"method": "random", "labels": None}, DataError, "labels are missing"),
        ({"method": "random", "labels": [0.5, 1.0]}, DataError, "whole numbers"),
        ({"method": "random", "labels": ["a", "b"]}, DataError, "not numbers"),
        ({"method": "random", "labels": [[0, 1]]}, DataError, r"shape \(1, 2\)"),
        ({"method": "random", "labels": [-1, -1, 3]}, DataError, "1 of 3 labels are 0 or more"),
        ({"method": "random", "labels": [0, -2, 3]}, DataError, "the lowest is -2"),
        ({"method": "random", "classes": 2}, DataError, "label 2 occurs"),
        ({"method": "random", "reference_loss": [0.1]}, DataError, "1 reference losses for 61 labels"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_built_says_why(content: dict[str, Any], error: type[FewerError], message: str) -> None:
    with pytest.raises(error, match=message):
        build(content)


@pytest.mark.parametrize(
    ("method", "keys", "every"), [("dbpd", {}, 0), ("dbpd", {"refresh_every": 4}, 4), ("ies", {}, 1)]
)
def test_a_loop_is_asked_to_score_again_only_where_a_method_cannot_do_without(
    method: str, keys: dict[str, Any], every: int
) -> None:
    """In our own loop `dbpd` looks again by default; a loop of one's own that never scores would end in an error."""
    chosen = read(method, keys, 10, population_of([0, 1] * 50, None, 0, None))
    assert isinstance(chosen, ScoredParams)
    assert chosen.refreshes == every
