"""Forward-only scoring: of any model without a run, in any batches, for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.types import Request
from fewer.sync.comm import SingleProcess
from fewer.testing.harness import one_thread, session_of
from fewer.testing.ranks import on_ranks
from fewer.training.scoring import (
    evaluation_requests,
    gathered,
    joined,
    nothing,
    score,
    score_batch,
    score_samples,
    score_shared,
)
from fewer.training.transition import enter_epoch

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 20, "lr": 0.05, "precision": "fp64"},
    "stages": [{"epochs": 1, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def by_id(seen: Observed) -> list[tuple[int, float]]:
    return sorted(zip(seen.ids_B.tolist(), seen.loss_B.tolist(), strict=True))


def test_scoring_needs_no_run() -> None:
    session = session_of(CONTENT)
    ids, at = session.run.selection.pool_ids, session.plan.at(0)
    model = session.run.workers[0].model
    batches = session.train_data.batches(Request.evaluation(16, 0, part) for part in ids.split(7))
    alone = score(session.task, model, batches, at)
    assert alone.ids_B.tolist() == ids.tolist()
    logits = session.task.predict(
        model.eval(), next(session.train_data.batches([Request.evaluation(16, 0, ids)])).inputs
    )
    labels = session.splits.train.label_N[ids]
    assert alone.loss_B.tolist() == pytest.approx(
        torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
    )
    assert alone.right_B.tolist() == (logits.argmax(1) == labels).tolist()


def _scored(comm: Any, workers: int | None) -> list[tuple[int, float]]:
    session = session_of({**CONTENT, "sync": {"workers": workers} if workers else {}}, comm)
    run, stage = session.run, session.plan.stages[0]
    enter_epoch(session.task, run, stage)
    seen = score_samples(session.task, session.train_data, run, stage, run.selection.pool_ids, session.plan.at(0))
    assert run.ledger.total("samples_forwarded") == len(run.selection.pool_ids)
    return by_id(seen)


def test_a_scoring_pass_is_shared_by_workers_and_processes() -> None:
    one = _scored(None, None)
    for theirs in (_scored(None, 3), *on_ranks(2, _scored, None), *on_ranks(2, _scored, 4)):
        assert [id for id, _ in theirs] == [id for id, _ in one]
        assert [loss for _, loss in theirs] == pytest.approx([loss for _, loss in one], abs=1e-9)


def test_each_worker_scores_its_own_share_with_its_own_model() -> None:
    session = session_of({**CONTENT, "sync": {"workers": 2}})
    run = session.run
    with torch.no_grad():
        for parameter in run.workers[1].model.parameters():
            parameter.zero_()
    requests = evaluation_requests(run.selection.pool_ids, 0, 16, 20)
    models = {worker.id: worker.model for worker in run.workers}
    (mine, theirs), loaded = score_shared(session.task, session.train_data, models, 2, requests, session.plan.at(0))
    assert loaded == len(mine) + len(theirs) == len(run.selection.pool_ids)
    assert theirs.loss_B.tolist() == pytest.approx([torch.log(torch.tensor(10.0)).item()] * len(theirs), abs=1e-5)
    assert len(set(mine.loss_B.tolist())) > 1


def test_no_observation_at_all_has_every_column() -> None:
    none = nothing()
    assert len(none) == 0
    assert set(none.columns) == {"loss", "score", "right"}
    assert len(joined([])) == len(gathered([none], SingleProcess())) == 0


def test_a_task_that_scores_in_train_mode_moves_no_statistics() -> None:
    """Detectors give losses in train mode only: dropout is seeded, and BatchNorm keeps its running statistics."""
    session = session_of({**CONTENT, "model": {"name": "cnn", "width": 0.1}})
    model, ids = session.run.workers[0].model, session.run.selection.pool_ids[:8]
    enter_epoch(session.task, session.run, session.plan.stages[0])
    (batch,) = session.train_data.batches([Request.evaluation(16, 0, ids)])
    modes: set[bool] = set()
    model.register_forward_pre_hook(lambda module, inputs: modes.add(module.training))
    before = {name: value.clone() for name, value in model.named_buffers()}
    session.task.scoring_mode = "train"
    first, again = (score_batch(session.task, model, batch, session.plan.at(0)) for _ in range(2))
    assert modes == {True}
    assert first.loss_B.tolist() == again.loss_B.tolist()
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert all(module.training for module in model.modules()), "the modes are back"
