"""Whole sessions: from loader processes as from memory, and around a selector of one's own as around ours."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.core.errors import ResourceError
from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.data.decode.on_request import SquareReader
from fewer.recipe.parse import parse_recipe
from fewer.runs import checkpoint
from fewer.select.base import BaseSelector, unweighted
from fewer.session.build import Session, open_data, open_session
from fewer.session.selector import selector_of
from fewer.testing.harness import one_thread, session_of, trained
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train
from fewer.training.run import state_digest
from server import Server

MEMORY, FILES = {"in_memory": "yes"}, {"in_memory": "no", "processes": 2}
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none", "cache": "no"},
    "augment": {"crop_padding_px": 2, "flip": "random"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"lr": 0.05, "ema": "0.5ep"},
    "select": {"method": "dbpd", "score": "fresh", "threshold": 0.11, "revision": "1ep"},
    "stages": [{"epochs": 2, "side_px": 16, "batch_size": 24}, {"epochs": 1, "side_px": 20, "batch_size": 40}],
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def read_from(where: dict[str, Any], content: dict[str, Any] = CONTENT) -> dict[str, Any]:
    return {**content, "data": {**content["data"], **where}}


def state_of(session: Session) -> str:
    """Hash of all that training has changed; what was decoded, and when, is the loader's own."""
    state = session.run.state_dict()
    return state_digest({name: value for name, value in state.items() if name not in ("ledger", "best")})


# --- the same runs -------------------------------------------------------------------------------------------------


class Twice(BaseSelector):
    """Chooses a third of the samples twice, and keeps some of a batch, so that copies wait in the packer."""

    def select(self, table: Table, pool_ids: torch.Tensor, at: At) -> Selection:
        return unweighted(torch.cat([pool_ids, pool_ids[::3]]))

    def in_batch(self, at: At) -> bool:
        return True

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        every = super().keep(seen_G, at)
        return KeepMask(seen_G.ids_B % 3 != at.epoch % 3, every.weight_G)

    def expected(self, at: At) -> Expectation:
        return Expectation(0.5, 1.5)


def trained_with(content: dict[str, Any], selector: BaseSelector) -> Session:
    recipe = parse_recipe(content)
    session = open_session(recipe, replace(open_data(recipe), test=None), None, selector)
    for _ in train(session.task, session.train_data, session.run):
        pass
    session.close()
    return session


@pytest.mark.parametrize("select", ["dbpd", "copies"])
def test_a_selected_and_packed_run_from_files_is_the_run_from_memory(select: str) -> None:
    run: Callable[[dict[str, Any]], Session] = trained
    if select == "copies":
        run = lambda content: trained_with(content, Twice())  # noqa: E731
    memory, files = run(read_from(MEMORY)), run(read_from(FILES))
    assert files.loader is not None
    assert files.loader.processes == 2
    assert memory.run.ledger.total("optimizer_steps") > 0
    assert state_of(files) == state_of(memory)


def test_a_resumed_run_may_read_its_images_in_another_way(tmp_path: Path) -> None:
    """From memory, then by two processes, then by none, in the middle of epochs."""
    unstopped, done = trained(read_from(MEMORY)), 0
    ways = [(MEMORY, 3), (FILES, 9), ({"in_memory": "no", "processes": 0}, None)]
    for way, until in ways:
        session = session_of(read_from(way))
        if done:
            session.run.load_state_dict(checkpoint.load_newest(tmp_path)[0])
        for _ in train(session.task, session.train_data, session.run):
            done += 1
            if done == until:
                checkpoint.save(session.run.state_dict(), tmp_path, keep=1)
                break
        session.close()
    assert state_of(session) == state_of(unstopped)


def _weights_on(comm: Any, content: dict[str, Any]) -> tuple[int, list[torch.Tensor]]:
    session = trained(content, comm)
    processes = session.loader.processes if session.loader else 0
    session.close()
    return processes, [value.detach().numpy().tolist() for value in session.run.workers[0].model.parameters()]


def test_two_ranks_with_loader_processes_are_one() -> None:
    """Float64, without BatchNorm, which would see half a batch."""
    plain = {
        **CONTENT,
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"lr": 0.05, "precision": "fp64"},
        "select": {"method": "everything"},
        "stages": [{"epochs": 2, "side_px": 16, "batch_size": 24}],
    }
    ranks = on_ranks(2, _weights_on, read_from(FILES, plain))
    alone = _weights_on(None, read_from(MEMORY, plain))[1]
    for processes, values in ranks:
        assert processes == 1
        for ours, expected in zip(values, alone, strict=True):
            torch.testing.assert_close(torch.tensor(ours), torch.tensor(expected), rtol=1e-9, atol=1e-12)


# --- the end -------------------------------------------------------------------------------------------------------


def test_memory_that_runs_out_in_a_process_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SquareReader, "read", greedy)
    with pytest.raises(ResourceError, match=r"digits.*memory.*data.processes"):
        trained(read_from({"in_memory": "no", "processes": 1}))


SLOW = """
[data]
source = "digits"
in_memory = "no"
processes = 2
[model]
name = "lenet5"
width = 0.25
[train]
epochs = 500
batch_size = 32
lr = 0.05
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that run; a zombie, which waits for whoever reaps it, has ended."""
    states = {}
    for pid in pids:
        try:
            states[pid] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [pid for pid, state in states.items() if state not in "ZX"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_loader_process_outlives_the_training_process(
    server: Server, tmp_path: Path, number: int, code: int
) -> None:
    """A terminal's Ctrl-C reaches the whole process group; SIGKILL the training process alone."""
    (tmp_path / "slow.toml").write_text(SLOW)
    process = server.start("train", "slow.toml", "--out", "run", cwd=tmp_path)
    rows = tmp_path / "run" / "rows.jsonl"
    assert process.until(lambda: rows.exists() and rows.read_bytes().count(b'"kind":"step"') > 3), process.stderr
    loaders = children(process.pid)
    assert len(loaders) == 2
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    ended = process.wait()
    assert ended.code == code, ended.stderr
    if number == signal.SIGINT:
        assert "Traceback" not in ended.stderr
        assert "fewer resume run" in ended.stderr
        assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "interrupted"
    patience = time.monotonic() + 60
    while alive(loaders) and time.monotonic() < patience:
        time.sleep(0.01)
    assert not alive(loaders)


def test_a_selector_of_ones_own_is_booked_by_the_side_that_it_scores_at() -> None:
    """The same method, once by the recipe and once brought along: the same cost, predicted and spent."""
    content = {
        "data": {"source": "digits", "val": "none", "test": "none", "subset": 200},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 2, "batch_size": 50},
    }
    chosen = {"method": "dbpd", "score": "fresh", "threshold": 0.9, "scorer_side_px": 16, "guards": "off"}
    splits, costs = open_data(parse_recipe(content)), []
    for selector in (None, selector_of(parse_recipe({**content, "select": chosen}), splits)):
        recipe = parse_recipe(content if selector else {**content, "select": chosen})
        session = open_session(recipe, splits, selector=selector)
        for _ in train(session.task, session.train_data, session.run):
            pass
        costs.append((session.run.ledger.totals()["flops"], session.plan.predicted["flops"]))
    assert costs[0] == costs[1]
