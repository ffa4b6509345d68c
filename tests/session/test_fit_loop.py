"""The fit loop: what is recorded when, how often it saves, and what a failure leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.core.errors import DivergedError
from fewer.runs.record import read_json, read_rows
from fewer.session import fit_loop, restore
from fewer.session.fit import fit, resume
from fewer.testing.harness import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**sections: Any) -> dict[str, Any]:
    """Three epochs of three batches."""
    return {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 3, "batch_size": 30, "lr": 0.05},
        "stages": [{"epochs": 3, "side_px": 16}],
        **sections,
        "out": {"plots": False, "previews": False, **sections.get("out", {})},
    }


def rows_of(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    return [row for row in read_rows(folder / "rows.jsonl") if kind in ("", row["kind"])]


@pytest.mark.parametrize(
    ("every", "saved"),
    [
        ("1ep", [(1, 0), (2, 0), (3, 0)]),
        ("2ep", [(2, 0), (3, 0)]),
        ("4step", [(1, 1), (2, 2), (3, 0)]),
        ("50%", [(1, 2), (3, 0)]),
    ],
)
def test_checkpoints_come_as_often_as_asked_and_at_the_end(
    every: str, saved: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A new best model is saved, too: without validation there is none before the end.
    data = {"source": "digits", "test": "5%", "val": "none", "subset": 90}
    fit(parse_recipe(content(data=data, out={"checkpoint_every": every})), tmp_path / "run")
    assert [(row["epoch"], row["batch"]) for row in rows_of(tmp_path / "run", "checkpoint")] == saved


def test_an_epoch_is_recorded_in_the_order_in_which_it_happens(tmp_path: Path) -> None:
    fit(parse_recipe(content()), tmp_path / "run")
    kinds = [row["kind"] for row in rows_of(tmp_path / "run")]
    assert kinds[:7] == ["header", "step", "step", "step", "epoch", "evaluation", "checkpoint"]
    assert kinds.count("epoch") == 3
    assert read_json(tmp_path / "run" / "status.json")["state"] == "done"


def test_a_run_that_diverges_keeps_its_last_checkpoint_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = fit_loop.train

    def diverging(task: Any, data: Any, run: Any) -> Iterator[Any]:
        for row in train(task, data, run):
            if row.epoch == 1:
                raise DivergedError("the loss is not finite")
            yield row

    monkeypatch.setattr(fit_loop, "train", diverging)
    with pytest.raises(DivergedError):
        fit(parse_recipe(content()), tmp_path / "run")
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("failed", 4)
    monkeypatch.undo()
    result = resume(tmp_path / "run")
    assert result["epochs"] == 3
    steps = [(row["epoch"], row["batch"]) for row in rows_of(tmp_path / "run", "step")]
    assert steps == [(epoch, batch) for epoch in range(3) for batch in range(3)]
    (head,) = rows_of(tmp_path / "run", "resume")
    assert head["epoch"] == 1


def test_rows_behind_the_checkpoint_are_written_again() -> None:
    """A row's place is where the run stood behind it: a step completes a batch, an epoch's row the epoch."""
    place = restore.position
    assert place({"kind": "step", "epoch": 1, "batch": 2}) == (1, 3)
    assert place({"kind": "epoch", "epoch": 1}) == place({"kind": "evaluation", "epoch": 1}) == (2, 0)
    assert place({"kind": "checkpoint", "epoch": 1, "batch": 2}) == (1, 2)
    assert place({"kind": "step", "epoch": "1", "batch": 2}) is None, "a row that no run writes"
