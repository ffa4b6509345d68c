"""Budgets of time: the schedule follows the clock, and comes to its end in time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer import parse_recipe
from fewer.core.clock import Cursor
from fewer.core.errors import RecipeError, Stopped
from fewer.plan.compile import compile_plan
from fewer.runs.record import read_rows
from fewer.session import fit as fit_module
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.session.time_budget import guessed
from fewer.sync.comm import SingleProcess
from fewer.testing.harness import one_thread
from fewer.training import steering
from fewer.training.run import Changes
from planning import facts, recipe

BUDGET_S = 1800.0


class Clocked:
    """What steering needs of a run, trained by a clock of its own: seconds of a batch, by the seconds so far."""

    def __init__(self, guess: int, batches: int) -> None:
        asked = recipe(train={"epochs": guess, "budget": "30min", "warmup": "0%"})
        self.plan: Any = compile_plan(asked, facts())
        self.cursor, self.comm, self.batches = Cursor(), SingleProcess(), batches
        self.changes = Changes()
        self.amendments = self.changes.amendments
        self.rates: list[float] = []

    def train(self, batch_s: Callable[[float], float], beside_s: float) -> float:
        seconds = 7.0  # before the first batch
        steering.begin(self, seconds)  # type: ignore[arg-type]
        while self.cursor.epoch < self.plan.epochs:
            epoch, sizes = self.cursor.epoch, self.plan.cut_short(self.cursor.epoch, [1] * self.batches)
            for batch in range(len(sizes)):
                at = self.plan.at(epoch, batch, len(sizes))
                self.rates.append(self.plan.lr_factor(at.progress, self.plan.stages[0]))
                seconds += batch_s(seconds)
            landed = self.plan.lr_factor(self.plan.progress(epoch + 1), self.plan.stages[0])
            if epoch + 1 == self.plan.epochs:
                assert landed == pytest.approx(0, abs=1e-9)
                return seconds
            seconds += beside_s
            self.cursor.epoch += 1
            steering.follow(self, seconds)  # type: ignore[arg-type]
        raise AssertionError("it ends with an epoch")


@settings(max_examples=30)
@given(
    guess=st.integers(1, 200),
    epochs=st.floats(12, 120),
    batches=st.integers(20, 60),
    slower=st.floats(0.5, 2.0),
    turn=st.floats(0.05, 0.6),
)
def test_the_rate_lands_at_zero_in_time(guess: int, epochs: float, batches: int, slower: float, turn: float) -> None:
    """Whatever the first guess, and although throughput halves, or doubles, on the way."""
    run, batch_s = Clocked(guess, batches), BUDGET_S / epochs / batches
    took = run.train(lambda now: batch_s * (slower if now > turn * BUDGET_S else 1.0), beside_s=0.0)
    if guess > 1:  # a run of one epoch ends before it is steered
        assert took == pytest.approx(BUDGET_S, rel=0.02)
    assert all(second <= first + 1e-12 for first, second in itertools.pairwise(run.rates)), "it only falls"


def test_throughput_halves_midway() -> None:
    run = Clocked(guess=40, batches=50)
    took = run.train(lambda now: 0.9 * (2 if now > BUDGET_S / 2 else 1), beside_s=2.0)
    assert took == pytest.approx(BUDGET_S, rel=0.02)
    assert run.plan.epochs == pytest.approx(30, abs=2)
    change = run.amendments["train.epochs"]
    assert change["old"] == "40"
    assert int(change["new"]) == run.plan.epochs


def test_a_clock_that_is_out_leaves_one_batch_to_land() -> None:
    run = Clocked(guess=40, batches=10)
    run.train(lambda now: 10.0 if now < 500 else 500.0, beside_s=0.0)
    assert run.plan.course.last < 1e-6
    assert len(run.plan.cut_short(run.plan.epochs - 1, [1] * 10)) == 1


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"train": {"epochs": 9, "budget": "30min", "patience": "2ep"}, "evaluate": {"every": 1}}, "both end the run"),
        ({"train": {"budget": "2h"}, "stages": [{"epochs": 9, "data_share": 0.5}]}, "whose images take turns"),
    ],
)
def test_what_does_not_go_with_a_budget_of_time_is_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(**sections)


# --- Runs --------------------------------------------------------------------------------------------------------


class Stopping(Silent):
    def __init__(self, behind: int) -> None:
        self.left = behind

    def row(self, row: Any, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            session.run.stop_requested = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A step takes ten seconds, and twenty from the tenth on; nothing is probed."""
    follow = steering.follow

    def by_steps(run: Any, seconds: float) -> Any:
        step = run.cursor.step
        before = step - len(run.plan.cut_short(run.cursor.epoch - 1, range(6)))
        run.changes.steered = {"seconds": 10.0 * before + 10.0 * max(0, before - 10)}
        return follow(run, 10.0 * step + 10.0 * max(0, step - 10))

    monkeypatch.setattr(steering, "follow", by_steps)
    monkeypatch.setattr(fit_module, "guessed", lambda recipe, *_: recipe)
    with one_thread():
        yield


def content(**train: Any) -> dict[str, Any]:
    """Six batches an epoch, five minutes."""
    return {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 3, "batch_size": 15, "lr": 0.05, "side_px": 16, "budget": "5min", **train},
        "out": {"plots": False, "previews": False},
    }


def test_a_run_ends_in_time_and_resumes_bit_for_bit(clock: None, tmp_path: Path) -> None:
    whole = fit(parse_recipe(content()), tmp_path / "whole")
    rows = read_rows(tmp_path / "whole" / "rows.jsonl")
    steps = [row for row in rows if row["kind"] == "step"]
    assert len(steps) == 20, "ten of ten seconds, ten of twenty: five minutes"
    assert [row["lr"] for row in steps[1:]] == sorted((row["lr"] for row in steps[1:]), reverse=True)
    assert steps[-1]["lr"] < 0.15 * 0.05
    assert whole["epochs"] == 4
    assert whole["amendments"]["train.epochs"]["old"] == "3"
    assert len([row for row in rows if row["kind"] == "course"]) == 3
    for number, behind in enumerate((4, 13, 17)):
        out = tmp_path / f"stopped{number}"
        with pytest.raises(Stopped):
            fit(parse_recipe(content()), out, display=Stopping(behind))
        assert resume(out)["state"] == whole["state"]
    assert resume(tmp_path / "whole") == whole, "it is finished, and stays so"
    with pytest.raises(RecipeError, match="budget"):
        resume(tmp_path / "stopped0", ["train.budget=9min"])


def test_a_first_guess_comes_from_a_probe() -> None:
    from fewer.session.build import open_data

    with one_thread():
        asked = parse_recipe(content(budget="5min"))
        splits = open_data(asked)
        found = guessed(asked, splits, agreed=lambda epochs: epochs)
        assert found.epochs > 50
        assert str(found.train.budget) == "5min"
        assert guessed(asked, splits, agreed=lambda epochs: 7).epochs == 7, "every process takes that of process 0"
        with pytest.raises(RecipeError, match="less than an epoch"):
            guessed(asked, splits, agreed=lambda epochs: 0)
