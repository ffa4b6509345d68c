"""Runs with a budget, and runs that become longer or shorter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.core.errors import Stopped
from fewer.optim import lr_shape
from fewer.runs.record import read_rows
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**train: Any) -> dict[str, Any]:
    """Three batches an epoch."""
    return {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 6, "batch_size": 30, "lr": 0.05, "side_px": 16, **train},
        "out": {"plots": False, "previews": False, "keep": 50},
    }


def rows_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_rows(folder / "rows.jsonl") if row["kind"] == kind]


def test_a_run_with_a_budget_is_the_run_of_the_epochs_that_it_pays_for(tmp_path: Path) -> None:
    paid = fit(parse_recipe(content(budget="0.5")), tmp_path / "paid")
    plain = fit(parse_recipe(content(epochs=3)), tmp_path / "plain")
    assert paid["epochs"] == 3
    assert (paid["state"], paid["digest"]) == (plain["state"], plain["digest"])
    assert paid["ledger"]["full_epoch_equivalents"] == pytest.approx(0.5 * 6)
    assert resume(tmp_path / "paid") == paid, "what it has spent is not shared out again"
    assert not rows_of(tmp_path / "paid", "amendment")


# --- Another length on the way -----------------------------------------------------------------------------------


class Stopping(Silent):
    """A display that stops the run behind some batch, and keeps what is said."""

    def __init__(self, behind: int = 0) -> None:
        self.left, self.said = behind, list[str]()

    def row(self, row: Any, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            session.run.stop_requested = True

    def note(self, text: str) -> None:
        self.said.append(text)


def stopped(folder: Path, behind: int, **train: Any) -> Path:
    with pytest.raises(Stopped):
        fit(parse_recipe(content(**train)), folder, display=Stopping(behind))
    return folder


def rates(folder: Path) -> list[float]:
    return [row["lr"] for row in rows_of(folder, "step")]


@pytest.mark.parametrize(("schedule", "epochs"), [("linear", 4), ("linear", 9), ("one_cycle", 8)])
def test_a_schedule_goes_on_from_where_it_stands(schedule: str, epochs: int, tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", 6, schedule=schedule)  # seven of eighteen batches
    said = Stopping()
    result = resume(run, [f"train.epochs={epochs}"], display=said)
    assert result["epochs"] == epochs
    assert any("goes on from where it stands" in text for text in said.said)
    (change,) = rows_of(run, "amendment")
    assert (change["key"], change["old"], change["new"]) == ("train.epochs", 6, epochs)
    shape, left = lr_shape(parse_recipe(content(schedule=schedule)).train, 6), 3 * epochs - 7
    planned = [batch / 18 for batch in range(7)] + [(7 + 11 * nth / left) / 18 for nth in range(left)]
    assert rates(run) == pytest.approx([0.05 * shape(progress) for progress in planned])


def test_a_replanned_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = resume(stopped(tmp_path / "whole", 7), ["train.epochs=5"])
    parts = stopped(tmp_path / "parts", 7)
    with pytest.raises(Stopped):
        resume(parts, ["train.epochs=5"], display=Stopping(2))
    assert resume(parts)["state"] == whole["state"]
    assert len(rows_of(parts, "amendment")) == 1
    assert rates(parts) == rates(tmp_path / "whole")


def test_a_run_that_is_replanned_twice_goes_on_from_each_place(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", 6)
    with pytest.raises(Stopped):
        resume(run, ["train.epochs=9"], display=Stopping(8))
    resume(run, ["train.epochs=7"])
    steps = [second - first for first, second in itertools.pairwise([*rates(run)[2:], 0.0])]
    assert max(steps) < 0, "it only falls"
    assert min(steps) > -0.012, "without a jump"


def test_a_constant_rate_is_cooled_down_at_the_new_end(tmp_path: Path) -> None:
    keys = {"schedule": "cooldown", "warmup": "1ep", "cooldown": "1ep"}
    run, said = stopped(tmp_path / "run", 6, **keys), Stopping()
    longer = resume(run, ["train.epochs=8"], display=said)
    assert any("the same so far" in text for text in said.said)
    asked = fit(parse_recipe(content(**keys, epochs=8)), tmp_path / "asked")
    assert longer["state"] == asked["state"], "it is the run that was asked for eight epochs at once"


def test_a_schedule_at_its_end_begins_again(tmp_path: Path) -> None:
    fit(parse_recipe(content(epochs=2)), tmp_path / "run")
    said = Stopping()
    assert resume(tmp_path / "run", ["train.epochs=3"], display=said)["epochs"] == 3
    assert any("begins again at 67%" in text for text in said.said)
