"""Formatting of a comparison's numbers and sentences, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.compare import formatting
from fewer.core.evaluation import LOSS
from fewer.report.metrics import Metrics
from fewer.tasks.classify.metrics import PRIMARY

SEVERAL = {"mean": 0.9721, "low": 0.9686, "high": 0.9756, "n": 5}
ONE = {"mean": -0.0031, "low": None, "high": None, "n": 1}


@pytest.mark.parametrize(
    ("metric", "text"),
    [("val/top1", "top-1 on validation"), ("test/macro_f1", "macro-F1 on test")],
)
def test_titles_of_metrics(metric: str, text: str) -> None:
    assert formatting.metric_title(Metrics({}), metric) == text


def test_shares_are_percent_and_losses_are_not() -> None:
    assert formatting.level(PRIMARY, SEVERAL) == "97.21 ± 0.35\xa0%"
    assert formatting.level(LOSS, SEVERAL) == "0.9721 ± 0.0035"
    assert formatting.level(PRIMARY, {**SEVERAL, "high": None}) == "97.21\xa0%"
    assert formatting.level(PRIMARY, None) == "–"


def test_gains_are_points_with_a_sign() -> None:
    assert formatting.gain({**SEVERAL, "mean": 0.0031, "high": 0.0051}) == "+0.31 ± 0.20"
    assert formatting.gain(ONE) == "−0.31 (n=1)"
    assert formatting.gain(None) == "–"


def test_costs_and_epochs() -> None:
    assert formatting.ratio({"cost": 0.614}) == "0.61"
    assert formatting.ratio({}) == "–"
    assert formatting.epochs(1234.567) == "1,234.57"
    assert formatting.spent(SEVERAL, lambda value: f"<{value}>") == "<0.9721>"


def variant(name: str, verdict: str, cost: float, holds: list[str]) -> dict[str, Any]:
    return {"kind": "variant", "name": name, "verdict": verdict, "cost": cost, "holds": holds}


def test_the_headline_names_the_cheapest_that_passed_and_counts_the_rest() -> None:
    passed = [variant(str(i), "beats plain at equal cost", 0.9 - 0.1 * i, ["beats plain"]) for i in range(4)]
    others = [variant("x", "no saving: 1.20 of the cost", 1.2, []), variant("y", "failed: 1 of 2 runs", 0.5, [])]
    arms = [{"kind": "baseline", "name": "plain"}, *passed, *others]
    text = formatting.headline({"arms": arms})
    assert text.startswith("4 of 6 variants passed, 1 no saving, 1 failed. 3: beats plain")
    assert [name for name in "0123" if f" {name}: " in text] == ["1", "2", "3"]
    assert formatting.headline({"arms": [others[0]]}) == "x: no saving: 1.20 of the cost."


@pytest.mark.parametrize(
    ("metric", "confirms", "word"),
    [("val/top1", False, "validation"), ("test/top1", True, "Fresh seeds"), ("test/top1", False, "--confirm")],
)
def test_the_caution_is_that_of_the_images(metric: str, confirms: bool, word: str) -> None:
    assert word in formatting.caution({"metric": metric}, confirms)
