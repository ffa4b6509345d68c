"""The page of a search: a pure function of its document, which may hold anything."""

from __future__ import annotations

from typing import Any

import pytest

from fewer import tasks
from fewer.report.metrics import Metrics
from fewer.tune.search.page import cost_chart, counts, key_chart, search_page

EVIL = "<script>alert(1)</script>"


def trial(number: int, outcome: str, value: float | None, **keys: Any) -> dict[str, Any]:
    values = {"train.lr": "0.01", "model.name": EVIL, "train.warmup": "2ep"}
    curve = [] if value is None else [[1.0, value / 2], [2.0, value]]
    known = {"number": number, "outcome": outcome, "values": values, "value": value, "curve": curve}
    spent = {"full_epoch_equivalents": 2.0, "seconds": 3.0, "epoch": 1, "interval": None, "folder": "", "machine": ""}
    return {**known, **spent, "message": "", **keys}


@pytest.fixture
def found() -> dict[str, Any]:
    trials = [
        trial(0, "done", 0.5),
        trial(1, "done", 0.75, values={"train.lr": "0.1", "model.name": "cnn", "train.warmup": "1ep"}),
        trial(2, "pruned", 0.25, message="after epoch 2"),
        trial(3, "failed", None, message=EVIL, seconds=0.0),
        trial(4, "begun", None, seconds=0.0),
    ]
    space = {"train.lr": "log:1e-3..1", "model.name": f"{EVIL},cnn", "train.warmup": "0ep..2ep"}
    return {
        "recipe": EVIL, "study": EVIL, "storage": EVIL, "metric": "val/top1", "task": tasks.description("classify"),
        "images": 1000, "epochs": 2, "run_full_epoch_equivalents": 2.0, "space": space, "sampler": "tpe", "seed": 0,
        "prunes": True, "asked": 6, "best": 1, "outcomes": {"done": 2, "pruned": 1, "failed": 1, "begun": 1},
        "full_epoch_equivalents": 6.0, "seconds": 9.0, "runs": 3.0, "trials": trials,
    }  # fmt: skip


def test_the_page_says_what_was_found_and_what_it_cost(found: dict[str, Any]) -> None:
    page = search_page(found)
    assert EVIL not in page
    assert "75.00% with train.lr = 0.1, model.name = cnn, train.warmup = 1ep (trial 1)." in page
    assert "6 FEE and" in page
    assert "3 runs of the recipe" in page
    assert "4 of 6 trials" in page
    assert page.index(">best<") < page.index("pruned: after epoch 2")
    assert counts(found) == "1 begun, 2 done, 1 failed, 1 pruned"


def test_a_search_without_a_finished_trial_has_a_page(found: dict[str, Any]) -> None:
    page = search_page({**found, "best": None, "trials": found["trials"][3:], "outcomes": {"failed": 1, "begun": 1}})
    assert "No trial is done yet." in page


def test_values_stand_where_their_axis_has_them(found: dict[str, Any]) -> None:
    metric = Metrics(found["task"])[found["metric"]]
    rate, name, warmup = (key_chart(found, metric, key, i) for i, key in enumerate(found["space"]))
    assert [spot.x for spot in rate.panels[0].spots] == pytest.approx([-1.0, -2.0, -2.0])
    assert [text for _, text in rate.ticks] == ["0.001", "0.01", "0.1", "1"]
    assert [spot.x for spot in name.panels[0].spots] == [1.0, 0.0, 0.0]
    assert [spot.x for spot in warmup.panels[0].spots] == [1.0, 2.0, 2.0]
    assert [text for _, text in warmup.ticks] == ["0ep", "0.5ep", "1ep", "1.5ep", "2ep"]
    assert rate.panels[0].star == (pytest.approx(-1.0), 0.75)
    costs = cost_chart(found, metric).panels[0]
    assert [role for role, _ in costs.lines] == ["complete", "complete", "pruned"]
    assert costs.star == (2.0, 0.75)
