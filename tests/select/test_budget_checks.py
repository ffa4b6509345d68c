"""Costs and shares that cannot be met are refused before training, or warned of."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.testing.harness import Content, session_of, trained

SMALL: Content = {
    "data": {"source": "digits", "val": "none", "test": "60%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 6, "batch_size": 32, "lr": 0.05},
}


@pytest.mark.parametrize("score", ["stale", "fresh"])
def test_the_smallest_cost_that_is_named_is_met(score: str) -> None:
    """A thousandth less than what the refusal says to use is refused; that itself is what the run then costs."""
    chosen: dict[str, Any] = {"method": "dbpd", "score": score, "cost": 0.1}
    with pytest.raises(RecipeError, match="use 0") as caught:
        session_of({**SMALL, "select": chosen})
    least = float(str(caught.value).partition("; use ")[2].partition(" ")[0])
    with pytest.raises(RecipeError, match=f"use {least:g} or more"):
        session_of({**SMALL, "select": {**chosen, "cost": round(least - 0.001, 3)}})
    session = trained({**SMALL, "select": {**chosen, "cost": least}})
    spent = session.run.ledger.full_epoch_equivalents / session.plan.epochs
    assert spent == pytest.approx(least, rel=0.01)


def test_a_cost_that_goes_into_scoring_is_warned_of() -> None:
    def notes(**chosen: Any) -> list[str]:
        warned = session_of({**SMALL, "select": {"method": "dbpd", **chosen}}).plan.notes
        return [note for note in warned if "buys more scoring than training" in note]

    assert len(notes(score="fresh", cost=0.6)) == 1, "a third of an epoch for looking, less for what is trained on"
    assert not notes(score="fresh", cost=0.95)
    assert not notes(score="fresh", threshold=0.1), "no cost was asked"
    assert not notes(cost=0.6), "stored scores cost nothing"


@pytest.mark.parametrize("chosen", [{"share": 1e-4}, {"cost": 1e-5}], ids=str)
def test_an_epoch_of_less_than_two_images_is_refused_before_training(chosen: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r'"random" keeps [01] of the \d+ training images in epoch 1; an epoch needs'):
        session_of({**SMALL, "select": {"method": "random", **chosen}})
