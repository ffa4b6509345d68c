"""Local SGD: equal to the whole batch where theory says so, and the same simulated as on several processes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.errors import CheckpointError, DivergedError
from fewer.testing.harness import interrupted, looked_at, one_thread, session_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 24, "lr": 0.05, "precision": "fp64"},
    "stages": [{"epochs": 2, "side_px": 16}],
}
# With all that differs on several machines: statistics, dropout-like draws, moments, rounds that end in mid-epoch.
HARD: dict[str, Any] = {
    **CONTENT,
    "model": {"name": "cnn", "width": 0.1},
    "augment": {"cutout_px": 4, "flip": "random"},
    "train": {**CONTENT["train"], "optimizer": "adamw", "lr": 0.003, "ema": "0.5ep"},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def local(content: dict[str, Any], workers: int, **sync: Any) -> dict[str, Any]:
    return {**content, "sync": {"method": "local_sgd", "workers": workers, **sync}}


def _digest(comm: Any, content: dict[str, Any]) -> str:
    return trained(content, comm).run.digest()


def test_two_simulated_workers_are_two_processes_bit_for_bit() -> None:
    content = local(HARD, 2, every_steps=4)
    assert on_ranks(2, _digest, content) == [trained(content).run.digest()] * 2


def test_a_run_resumes_inside_a_round_bit_for_bit() -> None:
    content = local(HARD, 2, every_steps=4)
    unstopped = trained(content).run
    assert interrupted(content, [2, 7]).run.digest() == unstopped.digest()
    assert len(unstopped.state_dict()["workers"]) == 2


def test_one_worker_is_plain_training() -> None:
    """But for averages of the weights, which follow syncs."""
    train = {**HARD["train"], "ema": "off"}
    content = {**HARD, "train": train}
    assert weights(trained(local(content, 1, every_steps=3))) == weights(trained(content))


def test_evaluating_in_a_round_changes_nothing_and_shows_the_mean() -> None:
    content = local(HARD, 2, every_steps=4)
    assert trained(content, look=looked_at).run.digest() == trained(content).run.digest()


def test_rows_say_how_far_apart_the_workers_were() -> None:
    rows: list[Any] = []
    trained(local(CONTENT, 2, every_steps=4), look=lambda session, row: rows.append(row))
    assert [row.sync.get("sync_steps") for row in rows] == [None, None, None, 4] * 3  # 12 steps
    assert all(0 < row.sync["sync_distance"] < 0.1 for row in rows[3::4])
    assert rows[3].recorded()["sync_steps"] == 4


def test_a_step_that_one_worker_skips_is_counted_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float16 a gradient that overflows on one worker alone must not shift its rounds against the others'."""
    content = local({**CONTENT, "train": {**CONTENT["train"], "precision": "fp16"}}, 2, every_steps=3)
    session = session_of(content)
    first = session.run.workers[0]
    steps: list[int] = []

    def overflowing(scale: Any) -> None:
        if session.run.cursor.step == 1:
            next(first.model.parameters()).grad.fill_(torch.inf)

    before = first.scaler.unscale_
    monkeypatch.setattr(first.scaler, "unscale_", lambda optimizer: (overflowing(None), before(optimizer)))
    for row in train(session.task, session.train_data, session.run):
        if row.sync:
            steps.append(row.step)
            assert row.sync.get("sync_skipped", 0) == (len(steps) == 1)
    assert steps == [3, 6, 9, 12]
    assert weights_of(session, 0) == weights_of(session, 1)


def weights_of(session: Any, worker: int) -> list[float]:
    found: list[float] = torch.cat(
        [p.detach().flatten() for p in session.run.workers[worker].model.parameters()]
    ).tolist()
    return found


@pytest.mark.parametrize("on_nonfinite", ["stop", "exclude"])
def test_a_loss_that_is_not_finite_on_one_worker(on_nonfinite: str) -> None:
    session = session_of(local(CONTENT, 2, every_steps=4, on_nonfinite=on_nonfinite))
    rows = train(session.task, session.train_data, session.run)
    next(rows)
    with torch.no_grad():
        next(session.run.workers[1].model.parameters()).fill_(torch.nan)
    if on_nonfinite == "stop":
        with pytest.raises(DivergedError, match="the loss is not finite in epoch 1, batch 2"):
            list(rows)
        return
    later = list(rows)
    assert all(row.loss is not None and math.isfinite(row.loss) for row in later)
    assert [row.sync["sync_excluded"] for row in later if "sync_excluded" in row.sync] == [1]
    assert math.isfinite(sum(weights_of(session, 1)))
    assert session.run.selection.table.loss_N.isfinite().any()


def test_another_number_of_workers_cannot_go_on() -> None:
    state = trained(local(CONTENT, 2)).run.state_dict()
    with pytest.raises(
        CheckpointError, match=r"holds 2 workers .* the run has 4; resume with --devices 2, .* sync.workers=2"
    ):
        session_of(local(CONTENT, 4)).run.load_state_dict(state)


def _resumed(comm: Any, content: dict[str, Any], state: Any) -> str:
    session = session_of(content, comm)
    session.run.load_state_dict(state)
    for _ in train(session.task, session.train_data, session.run):
        pass
    return session.run.digest()


def test_a_run_may_go_on_with_another_number_of_processes() -> None:
    content = local(HARD, 2, every_steps=4)
    session = session_of(content)
    for row in train(session.task, session.train_data, session.run):
        if row.step == 6:
            state = copy.deepcopy(session.run.state_dict())
    assert on_ranks(2, _resumed, content, state) == [session.run.digest()] * 2


def test_workers_agree_before_features_are_kept() -> None:
    """One body computes the features for the heads of all: in the middle of a round it would be one of several."""
    frozen = {"epochs": 1, "side_px": 16, "frozen": "all but the head", "strength": 0.0}
    content = local({**CONTENT, "stages": [{"epochs": 1, "side_px": 16}, frozen]}, 2, every_steps=4)
    assert trained(content).plan.stages[1].keeps_features
    assert on_ranks(2, _digest, content) == [trained(content).run.digest()] * 2
