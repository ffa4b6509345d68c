"""Detection in the loop: ranks, resuming, selection and mosaics are those of every task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dense_data import box_data
from fewer.core.types import Request
from fewer.plan.plan import Plan
from fewer.session.build import Session
from fewer.testing.harness import interrupted, one_thread, plan_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row

SIDE_PX = 64


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recipe in fp64, with mosaics until the last epoch."""
    source = box_data(tmp_path_factory.mktemp("boxes"), 14).split.source.name
    return {
        "data": {"source": source, "val": "none", "test": "none"},
        "task": {"name": "detect"},
        "model": {"name": "fcos_mobilenet_v3_small", "channels": 32, "head_convs": 1},
        "augment": {"flip": "random", "scale": (0.8, 1.2), "mosaic": 0.5, "mix_until": "1ep"},
        "train": {"batch_size": 7, "lr": 0.001, "precision": "fp64"},
        "stages": [{"epochs": 2, "side_px": SIDE_PX}],
    }


def _seen(comm: Any, content: dict[str, Any], plan: Plan | None = None) -> tuple[list[float | None], dict[str, float]]:
    """Each step's loss, and the last model's metrics on the training images."""
    losses: list[float | None] = []

    def look(session: Session, row: Row) -> None:
        losses.append(row.loss)

    session = trained(content, comm, look, plan)
    run = session.run
    mine = session.splits.train.ids_M[run.comm.rank :: run.comm.world_size]
    batches = session.train_data.batches([Request.evaluation(SIDE_PX, 2, mine)])
    return losses, dict(session.task.evaluate(run.evaluated_model(), batches, run.comm).scalars)


def test_two_ranks_train_and_evaluate_as_one(content: dict[str, Any]) -> None:
    """In fp64, with BatchNorm over both, and losses divided by the objects of all ranks."""
    losses, metrics = _seen(None, content)
    for theirs in on_ranks(2, _seen, content, plan_of(content, 2)):
        assert theirs[0] == pytest.approx(losses, abs=1e-9)
        assert theirs[1] == pytest.approx(metrics, abs=1e-6)


def test_a_run_with_selection_goes_on_bit_for_bit(content: dict[str, Any], tmp_path: Path) -> None:
    recipe = {**content, "select": {"method": "dbpd"}}
    assert weights(interrupted(recipe, [3], folder=str(tmp_path))) == weights(trained(recipe))
