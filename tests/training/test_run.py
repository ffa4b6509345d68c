"""The run's state: every worker is saved, old checkpoints are read, and the hash sees all of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.runs import checkpoint
from fewer.testing.harness import one_thread, session_of, trained
from fewer.training.loop import train
from fewer.training.run import Run, state_digest

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 30, "lr": 0.05, "ema": "0.5ep", "lookahead": {"every_steps": 2, "start": "0ep"}},
    "select": {"method": "dbpd", "score": "fresh", "threshold": 0.2},
    "stages": [{"epochs": 2, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_a_run_has_twelve_fields_at_most() -> None:
    assert len(fields(Run)) <= 12


def test_workers_that_differ_are_all_saved_and_all_restored(tmp_path: Path) -> None:
    session = session_of({**CONTENT, "sync": {"workers": 4}})
    run = session.run
    next(train(session.task, session.train_data, run))
    run.sync.keeps_equal = False  # as a local method does between two rounds
    for worker in run.workers:
        with torch.no_grad():
            next(worker.model.parameters()).add_(float(worker.id))
    checkpoint.save(run.state_dict(), tmp_path, keep=1)
    state = checkpoint.load_newest(tmp_path)[0]
    assert list(state["workers"]) == ["0", "1", "2", "3"]
    other = session_of({**CONTENT, "sync": {"workers": 4}}).run
    other.load_state_dict(state)
    for mine, theirs in zip(run.workers, other.workers, strict=True):
        assert state_digest(dict(mine.model.state_dict())) == state_digest(dict(theirs.model.state_dict()))
    first, last = (state_digest(dict(other.workers[n].model.state_dict())) for n in (0, 3))
    assert first != last


def test_saving_is_not_booked() -> None:
    session = session_of({**CONTENT, "select": {"method": "full"}, "sync": {"workers": 2}})
    next(train(session.task, session.train_data, session.run))
    session.run.selection.observations.gather(session.run.comm)  # an exchange of training, wherever it comes
    session.run.comm.take_bytes_sent()
    session.run.state_dict()
    assert session.run.comm.take_bytes_sent() == 0


def test_a_checkpoint_of_version_0_1_is_read() -> None:
    session = session_of(CONTENT)
    rows = train(session.task, session.train_data, session.run)
    for _ in range(3):
        next(rows)
    new = session.run.state_dict()
    (worker,) = new["workers"].values()
    old = {
        **{name: new[name] for name in ("cursor", "ledger", "amendments", "best")},
        "workers": {"0": {name: worker[name] for name in ("model", "optimizer")}},
        "scaler": worker["scaler"],
        **new["averages"],
        **new["selection"],
        "observed": {name: values for name, values in new["selection"]["observed"].items() if name != "counts"},
        "sync": {},
    }
    resumed = session_of(CONTENT)
    resumed.run.load_state_dict(copy.deepcopy(old))
    assert resumed.run.digest() == session.run.digest()
    list(train(resumed.task, resumed.train_data, resumed.run))
    assert resumed.run.digest() == trained(CONTENT).run.digest()


@pytest.mark.parametrize("name", ["weights", "table", "cursor", "packer"])
def test_the_hash_sees_every_part(name: str) -> None:
    session = session_of(CONTENT)
    run, before = session.run, session.run.digest()
    if name == "weights":
        with torch.no_grad():
            next(run.workers[0].model.parameters()).flatten(0, 0)[0] += 1e-6
    elif name == "table":
        run.selection.table.visits_N[0] = 1
    elif name == "cursor":
        run.cursor.step = 1
    else:
        run.selection.packed = 1
    assert run.digest() != before
