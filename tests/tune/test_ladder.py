"""Ladders: their rungs, their runs, and what they answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.core.errors import RecipeError, Stopped
from fewer.core.evaluation import interval
from fewer.runs import checkpoint
from fewer.runs.record import read_object
from fewer.session.fit import fit
from fewer.session.ladder import Rung, trunk_of
from fewer.testing.harness import one_thread
from fewer.tune.ladder import climb, rungs_of
from fewer.tune.ladder_verdict import verdict


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**sections: Any) -> dict[str, Any]:
    """Three batches an epoch."""
    return {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 10, "batch_size": 30, "lr": 0.05, "side_px": 16, "warmup": "1ep"},
        "out": {"plots": False, "previews": False, "keep": 1},
        **sections,
    }


def test_rungs_are_shares_with_a_cooldown_each() -> None:
    assert rungs_of("1,0.4", "20%", 30) == [Rung(0.4, 12, 2), Rung(1.0, 30, 6)]
    assert [rung.begins for rung in rungs_of("0.4,0.6,0.8,1", "20%", 100)] == [32, 48, 64, 80]
    assert sum(rung.cooldown for rung in rungs_of("0.4,0.6,0.8,1", "20%", 100)) + 80 == 136, "1.36 runs"


@pytest.mark.parametrize(
    ("budgets", "cooldown", "said"),
    [
        ("0.5", "20%", "two or more"),
        ("0.5,0.51", "20%", "5, 5 epochs"),
        ("0,1", "20%", "0 is no share"),
        ("half,1", "20%", "half"),
        ("0.1,1", "20%", "leaves nothing of 1 epochs"),
        ("0.5,1", "20", "needs a unit"),
        ("0.5,1", "3step", "cannot be known"),
    ],
)
def test_rungs_that_are_none_are_refused(budgets: str, cooldown: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        rungs_of(budgets, cooldown, 10)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"stages": [{"epochs": 10}], "train": {"batch_size": 30}}, "without .*stages"),
        ({"train": {"epochs": 10, "budget": "0.5"}}, r"train\.budget"),
        ({"train": {"epochs": 10, "warmup": "50%"}}, "is not over when the first cooldown begins, behind 3"),
    ],
)
def test_recipes_that_make_no_ladder_are_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        trunk_of(parse_recipe(content(**sections)), rungs_of("0.4,1", "20%", 10))


def test_every_rung_is_the_run_that_would_be_trained_alone(tmp_path: Path) -> None:
    recipe, rungs, said = parse_recipe(content()), rungs_of("0.4,1", "20%", 10), list[str]()
    with pytest.raises(Stopped, match=r"ladder: stopped after 0 of 2 budgets; the same command goes on"):
        climb(recipe, rungs, tmp_path / "ladder", note=said.append, until=datetime.now())
    found = climb(recipe, rungs, tmp_path / "ladder", note=said.append)
    assert "a trunk of 10 epochs, and cooldowns: 11 epochs in place of 14" in said[0]
    assert [row["epochs"] for row in found["rungs"]] == [4, 10]
    assert found["full_epoch_equivalents"] == pytest.approx(11)
    assert found["apart_full_epoch_equivalents"] == pytest.approx(14)
    assert found["runs"] == pytest.approx(1.1)
    train = {**content()["train"], "epochs": 4, "schedule": "cooldown", "cooldown": "1ep"}
    alone = fit(parse_recipe(content(train=train, evaluate={"every": 0})), tmp_path / "alone")
    assert read_object(tmp_path / "ladder" / "budget-0.4" / "result.json")["state"] == alone["state"]
    assert found["rungs"][0]["metrics"] == alone["metrics"]
    assert read_object(tmp_path / "ladder" / "ladder.json") == found
    assert (tmp_path / "ladder" / "ladder.png").read_bytes()[:4] == b"\x89PNG"
    before = (tmp_path / "ladder" / "trunk" / "rows.jsonl").read_bytes()
    assert climb(recipe, rungs, tmp_path / "ladder", note=said.append) == found, "nothing is trained twice"
    assert (tmp_path / "ladder" / "trunk" / "rows.jsonl").read_bytes() == before
    with pytest.raises(RecipeError, match=r"holds the ladder of another recipe: train\.lr was 0\.05, is 0\.1"):
        climb(parse_recipe(content(), ["train.lr=0.1"]), rungs, tmp_path / "ladder", note=said.append)


def _stopped_behind(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """The next training stops as soon as it has checkpointed so many epochs."""
    save = checkpoint.save

    def stopping(state: Any, *arguments: Any, **keys: Any) -> Path:
        found = save(state, *arguments, **keys)
        if state["cursor"]["epoch"] >= epoch:
            raise Stopped("", 75)
        return found

    monkeypatch.setattr(checkpoint, "save", stopping)


def test_other_budgets_or_another_cooldown_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, folder, ten = parse_recipe(content()), tmp_path / "ladder", 10
    with monkeypatch.context() as patched:
        _stopped_behind(patched, 2)
        with pytest.raises(Stopped):
            climb(recipe, rungs_of("0.5,1", "20%", ten), folder, note=str)
    with pytest.raises(RecipeError, match=r"budget-0\.2: the trunk has passed epoch 1, and kept .*another --out"):
        climb(recipe, rungs_of("0.2,1", "20%", ten), folder, note=str)
    found = climb(recipe, rungs_of("0.4,1", "20%", ten), folder, note=str)
    assert [row["epochs"] for row in found["rungs"]] == [4, 10], "the trunk had not come so far, and kept it"
    said = r"ladder: holds a ladder of other --budgets or --cooldown: budget-0\.4: train\.cooldown was 1ep, is 2ep"
    with pytest.raises(RecipeError, match=said):
        climb(recipe, rungs_of("0.4,1", "2ep", ten), folder, note=str)
    assert read_object(folder / "ladder.json") == found


def rows(values: list[float], images: int, name: str = "val/top1") -> list[dict[str, Any]]:
    return [
        {
            "budget": (nth + 1) / len(values),
            "epochs": nth + 1,
            "full_epoch_equivalents": float(nth + 1),
            "metrics": {name: value},
            "intervals": {name: interval(value, images)},
        }
        for nth, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("values", "images", "enough", "said"),
    [
        ([0.5, 0.8, 0.802, 0.8], 100_000, 0.5, r"longer training does not pay: it brings \+0\.2 ± 0\.3 points"),
        ([0.5, 0.6, 0.7, 0.8], 10_000, None, r"pays up to the end: from 0\.75 to 1 .* \+10\.0 ± 1\.2 points"),
        ([0.5, 0.8, 0.81, 0.8], 200, 0.5, "no gain of longer training shows, but these images cannot rule one out"),
        ([0.8, 0.7, 0.6, 0.9], 10_000, None, "pays up to the end"),
    ],
)
def test_the_answer_says_what_the_images_can_tell(
    values: list[float], images: int, enough: float | None, said: str
) -> None:
    found = verdict(parse_recipe(content()), rows(values, images), "val")
    assert found["enough"] == enough
    assert found["metric"] == "val/top1"
    assert re.search(said, found["answer"]), found["answer"]


def test_a_loss_falls_and_has_no_interval() -> None:
    lossy = parse_recipe(content(evaluate={"best": "loss"}))
    assert verdict(lossy, rows([0.9, 0.5, 0.5], 100, "test/loss"), "test")["enough"] == pytest.approx(2 / 3)
