"""float16 with loss scaling: overflowing steps are skipped by all ranks together, counted, and survive a resume."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch

from fewer.core.errors import DivergedError
from fewer.session.build import Session
from fewer.testing import harness
from fewer.testing.harness import interrupted, one_thread, session_of
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row, train
from fewer.training.run import state_digest

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {
        "epochs": 3,
        "batch_size": 24,
        "lr": 0.05,
        "accumulate": 2,
        "clip_norm": 1.0,
        "ema": "0.5ep",
        "precision": "fp16",
        "lookahead": {"every_steps": 2, "start": "0ep"},
    },
}
LARGEST = 2.0**24  # at which float16 overflows


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def starting_at(scale: float, interval: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions begin with another loss scale and growth interval; what is loaded overrides it."""
    fresh = harness.open_session

    def opened(*arguments: Any, **keywords: Any) -> Session:
        session = fresh(*arguments, **keywords)
        scaler = session.run.workers[0].scaler
        scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "growth_interval": interval})
        return session

    monkeypatch.setattr(harness, "open_session", opened)


def averages(session: Session) -> str:
    """Hash of models, optimizers and averages: all that a step moves but the loss scale."""
    state = session.run.state_dict()
    workers = {id: {**worker, "scaler": {}} for id, worker in state["workers"].items()}
    return state_digest({"workers": workers, "averages": state["averages"]})


def test_a_worker_alone_counts_as_skipped_what_it_skips_whatever_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several that differ may skip apart, and count what they attempt; one has nobody to differ from."""
    starting_at(LARGEST, 2, monkeypatch)
    train_ = {key: value for key, value in CONTENT["train"].items() if key != "lookahead"}  # no local method has it
    plain, local = (
        harness.trained({**CONTENT, "train": train_, "sync": sync}).run.ledger
        for sync in ({}, {"method": "local_sgd", "every_steps": 2, "workers": 1})
    )
    assert plain.total("skipped_steps") > 0
    for name in ("skipped_steps", "optimizer_steps", "flops"):
        assert local.total(name) == plain.total(name), name


def test_a_skipped_step_changes_nothing_but_the_scale_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    starting_at(LARGEST, 2, monkeypatch)
    session = session_of(CONTENT)
    run = session.run
    before, scale, scales, rows = averages(session), run.workers[0].scaler.get_scale(), [], []
    for row in train(session.task, session.train_data, run):
        rows.append(row)
        if not row.steps:
            assert run.workers[0].scaler.get_scale() == scale / 2
            assert averages(session) == before
        before, scale = averages(session), run.workers[0].scaler.get_scale()
        scales.append(scale)
    skipped = sum(not row.steps for row in rows)
    assert 0 < skipped < len(rows)
    assert run.ledger.total("skipped_steps") == skipped
    assert run.ledger.total("optimizer_steps") == run.cursor.step == len(rows) - skipped
    assert (
        run.ledger.total("samples_backpropagated") == sum(row.kept for row in rows) == 3 * len(run.selection.pool_ids)
    )
    assert any(late > early for early, late in pairwise(scales)), "the scale grows back"


def test_a_scaled_step_is_the_unscaled_one() -> None:
    """Scales are powers of two: where nothing overflows or vanishes, the weights do not depend on them."""

    def weights(scale: float) -> torch.Tensor:
        session = session_of({**CONTENT, "train": {**CONTENT["train"], "epochs": 1}})
        session.run.workers[0].scaler.load_state_dict({**session.run.workers[0].scaler.state_dict(), "scale": scale})
        rows = list(train(session.task, session.train_data, session.run))
        assert all(row.steps for row in rows)
        return torch.cat([p.detach().flatten() for p in session.run.workers[0].model.parameters()])

    assert torch.allclose(weights(2.0**8), weights(2.0**10), rtol=1e-3, atol=1e-4)


def test_a_run_that_skips_resumes_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    starting_at(LARGEST, 2, monkeypatch)
    unstopped = harness.trained(CONTENT)
    assert unstopped.run.ledger.total("skipped_steps")
    assert interrupted(CONTENT, [2, 9]).run.digest() == unstopped.run.digest()


def _on_a_rank(comm: Any, scale: float) -> tuple[str, int]:
    with pytest.MonkeyPatch.context() as patch:
        starting_at(scale, 2, patch)
        session = harness.trained(CONTENT, comm)
    return session.run.digest(), session.run.ledger.total("skipped_steps")


def test_ranks_skip_the_same_steps() -> None:
    one, other = on_ranks(2, _on_a_rank, LARGEST)
    assert one == other
    assert one[1] > 0


def _overflows_on_rank_1(comm: Any) -> list[int]:
    """Only rank 1's gradient overflows, in the second batch."""
    session = session_of(CONTENT, comm)
    rows: list[Row] = []
    parameter = next(session.run.workers[0].model.parameters())

    def infinite(gradient: torch.Tensor) -> torch.Tensor:
        return torch.full_like(gradient, torch.inf) if comm.rank == 1 and len(rows) == 1 else gradient

    parameter.register_hook(infinite)
    for row in train(session.task, session.train_data, session.run):
        rows.append(row)
    return [row.steps for row in rows]


def test_what_overflows_on_one_rank_is_skipped_on_all() -> None:
    one, other = on_ranks(2, _overflows_on_rank_1)
    assert one == other
    assert one[:3] == [1, 0, 1]


def test_a_scale_that_vanishes_is_divergence() -> None:
    session = session_of({**CONTENT, "train": {**CONTENT["train"], "epochs": 9}})
    next(session.run.workers[0].model.parameters()).register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(DivergedError, match=r"smallest loss scale.*train\.precision"):
        list(train(session.task, session.train_data, session.run))
    assert session.run.cursor.step == 0


def test_a_loss_that_is_not_finite_is_divergence_at_once() -> None:
    session = session_of({**CONTENT, "train": {**CONTENT["train"], "lr": 1e30, "clip_norm": 0.0, "warmup": "0%"}})
    with pytest.raises(DivergedError, match="the loss is not finite"):
        list(train(session.task, session.train_data, session.run))
