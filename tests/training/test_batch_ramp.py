"""A run whose batches grow: what it trains on, books, records and resumes, alone and with a chosen part."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.testing import laws
from fewer.testing.harness import one_thread, session_of, trained
from fewer.training.length import restore
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1, "logit_scale": 1.0},
    "train": {
        "lr": 0.05, "schedule": "linear", "warmup": "0%", "epochs": 4, "precision": "fp64", "batch_size": 15, "seed": 5,
        "batch_ramp": 60,
    },
    "stages": [],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    with one_thread():
        yield


def test_steps_rates_and_counts_follow_the_plan() -> None:
    """120 images: straight to zero, so halved before epoch 3, and again before epoch 4."""
    session = session_of(CONTENT)
    images = session.plan.facts.data.train_images
    rows = list(train(session.task, session.train_data, session.run))
    per_epoch = [[row for row in rows if row.epoch == epoch] for epoch in range(4)]
    assert [len(each) for each in per_epoch] == [-(-images // size) for size in (15, 15, 30, 60)]
    assert [each[0].lr for each in per_epoch] == pytest.approx([0.05, 0.0375, 0.05, 0.05])
    assert session.run.cursor.step == len(rows) == session.plan.predicted["optimizer_steps"][0]
    assert session.run.ledger.total("samples_backpropagated") == 4 * images


@pytest.mark.parametrize(
    "select", [{"method": "random", "share": 0.5}, {"method": "selective_backprop", "score": "fresh"}]
)
def test_runs_resume_exactly(select: dict[str, Any]) -> None:
    content = {**CONTENT, "select": select}
    laws.resumed_is_never_stopped(content, trained(content))


def test_another_length_is_refused_on_resume() -> None:
    session = session_of({**CONTENT, "train": {**CONTENT["train"], "epochs": 6}})
    session.run.cursor.epoch = 2
    with pytest.raises(RecipeError, match=r"batch_ramp = 60 has planned the batches.*leave train\.epochs = 4"):
        restore(session.run, {}, 4)
