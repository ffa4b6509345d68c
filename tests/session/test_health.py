"""A run that learns nothing says so, with a cause; one that learns slowly does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.recipe.parse import parse_recipe
from fewer.session.build import Session
from fewer.session.epoch_metrics import EpochSums
from fewer.session.fit import fit
from fewer.session.health import Health
from fewer.testing.harness import Content, one_thread, session_of
from fewer.training.loop import train

CONTENT: Content = {
    "data": {"source": "digits", "val": "none", "test": "80%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 2, "batch_size": 32, "lr": 0.05, "precision": "fp32"},
}
GUESSED = math.log(10)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def driven(session: Session) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a run's epochs, and what its health said after each."""
    health, sums = Health(session), EpochSums(session)
    rows, said = list[dict[str, Any]](), list[str]()
    for row in train(session.task, session.train_data, session.run):
        sums.add(row)
        if row.epoch_end:
            rows.append({"epoch": row.epoch, "step": row.step, "lr": row.lr, **sums.line()})
            said.append(health.complaints(rows).get("learning", ""))
            sums = EpochSums(session)
    return rows, said


@pytest.fixture(scope="module")
def run() -> tuple[Session, list[dict[str, Any]], list[str]]:
    session = session_of(CONTENT)
    return session, *driven(session)


def test_a_run_that_learns_says_nothing(run: tuple[Session, list[dict[str, Any]], list[str]]) -> None:
    _, rows, said = run
    assert said == ["", ""]
    assert rows[0]["step"] < 100


def mute(session: Session) -> None:
    """ReLUs that never fire."""
    session.run.workers[0].model.fc2.bias.data.fill_(-1e3)


def test_dead_gradients_are_told_after_the_first_epoch() -> None:
    session = session_of(CONTENT)
    session.run.workers[0].model.fc2.bias.data.fill_(-1e3)  # ReLUs that never fire
    _, said = driven(session)
    assert said[0].startswith("epoch 1 has learnt nothing: loss 2.3")
    assert "guessing gives 2.30" in said[0]
    assert said[0].endswith("a learning rate that was too high: set train.lr = 0.005")


def test_weights_that_stay_are_told_once(tmp_path: Path) -> None:
    content = {**CONTENT, "train": {**CONTENT["train"], "lr": 1e-12}, "out": {"plots": False, "previews": False}}
    fit(parse_recipe(content), tmp_path / "run")
    said = [line for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if "learnt nothing" in line]
    assert len(said) == 1
    assert "warning: epoch 1 has learnt nothing" in said[0]
    assert said[0].endswith("the weights barely move: raise train.lr (1e-12), tenfold at first")


@pytest.mark.parametrize(
    ("changed", "is_told"),
    [
        ({}, True),
        ({"loss": 7.0}, True),
        ({"loss": 0.98 * GUESSED}, False),
        ({"top1": 0.17}, False),
        ({"top1": 0.13}, True),
        ({"step": 99}, False),
        ({"step": 99, "epoch": 1}, True),
        ({"lr": 0.02}, False),
    ],
    ids=["at guessing", "far above", "loss below", "accuracy above", "by chance", "early", "at the end", "warming up"],
)
def test_hard_data_gets_a_hundred_steps_behind_the_warm_up(
    run: tuple[Session, list[dict[str, Any]], list[str]], changed: dict[str, Any], is_told: bool
) -> None:
    """Some 360 images of ten classes: guessing is right for 10 %, and hardly ever for 15 %."""
    session, rows, _ = run
    session.run.selection.table.column("trained", "epoch").fill_(changed.get("epoch", 0))
    health = Health(session)
    health.norm_P = health.norm_P * 1.1
    row = {**rows[0], "epoch": 0, "loss": GUESSED, "top1": 0.1, "step": 100, **changed}
    said = health.complaints([row])
    assert bool(said) == is_told
    if is_told:
        cause = "99 steps are few: raise train.epochs (2), or lower train.batch_size"
        if row["step"] == 100:
            cause = "the learning rate is probably too high: set train.lr = 0.005"
        assert said["learning"].endswith(cause)


def test_advice_on_length_names_the_key_that_decides() -> None:
    for keys, expected in (({}, "train.epochs (2)"), ({"budget": "30min"}, "train.budget (30min)")):
        health = Health(session_of({**CONTENT, "train": {**CONTENT["train"], **keys}}))
        assert f"raise {expected}, or lower" in health._cause(is_dead=False, change=1.0, steps=5)


def test_hard_samples_alone_are_no_sign(run: tuple[Session, list[dict[str, Any]], list[str]]) -> None:
    """A method that keeps what is not learnt yet has a high loss because the run learns."""
    session = session_of({**CONTENT, "select": {"method": "dbpd", "threshold": 0.3}})
    trained = session.run.selection.table.column("trained", "epoch")
    trained.fill_(-1)
    trained[session.run.selection.pool_ids[:100]] = 0
    share = 100 / session.run.ledger.train_images
    row = {**run[1][0], "epoch": 0, "loss": GUESSED, "top1": 0.1, "step": 1000, "kept_share": share}
    health = Health(session)
    health.norm_P = torch.zeros_like(health.norm_P)
    assert not health.complaints([row])
    trained.fill_(0)
    assert health.complaints([{**row, "kept_share": 1.0}])
