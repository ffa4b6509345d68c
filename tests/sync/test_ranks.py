"""Every selection method trains the same on one, two, three and four processes: decisions, losses and metrics.

Each number of ranks tries a third of the methods here; `python tests/sync/test_ranks.py` tries all with each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.core.types import Request
from fewer.runs import checkpoint
from fewer.select.registry import METHODS
from fewer.session.build import Session
from fewer.testing.harness import one_thread, session_of, trained
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row, train
from fewer.training.run import state_digest

COUNTS = (2, 3, 4)
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"batch_size": 21, "lr": 0.05, "precision": "fp64", "clip_norm": 1.0},
    "stages": [{"epochs": 3, "side_px": 16}],
}

OF_DETECTORS = {"afss"}  # whose numbers a classifier does not tell: see tests/tasks/detect/test_selection.py
SHORT: dict[str, dict[str, Any]] = {"warmup_random": {"warmup": "1ep"}}  # what is made for longer runs


def settings() -> list[dict[str, Any]]:
    """One setting of every method; batches of 21 are no multiple of any number of ranks here but three."""
    found: dict[str, dict[str, Any]] = {}
    for example in METHODS.examples():
        found.setdefault(example["method"], example)
    for name in METHODS.own:
        found.setdefault(name, {"method": name, **SHORT.get(name, {})})
    return [found[name] for name in found if name not in OF_DETECTORS]


def _seen(comm: Any, selects: list[dict[str, Any]]) -> list[tuple[str, list[float], dict[str, float]]]:
    """Of each method a hash of all decisions, every step's loss, and the metrics of the last model."""
    return [_of_method(comm, select) for select in selects]


def _of_method(comm: Any, select: dict[str, Any]) -> tuple[str, list[float], dict[str, float]]:
    decisions, losses = list[Any](), list[float]()

    def look(session: Session, row: Row) -> None:
        decisions.append((row.epoch, row.batch, row.steps, row.kept, row.candidates, round(row.lr, 12)))
        losses.append(-1.0 if row.loss is None else row.loss)

    session = trained({**CONTENT, "select": select}, comm, look)
    run, test = session.run, session.splits.train.ids_M
    assert run.cursor.step <= 60
    visits = run.selection.table.visits_N.tolist()
    mine = test[run.comm.rank :: run.comm.world_size]
    batches = session.train_data.batches([Request.evaluation(16, 3, mine)])
    scalars = dict(session.task.evaluate(run.evaluated_model(), batches, run.comm).scalars)
    return state_digest({"decisions": str(decisions), "visits": str(visits)}), losses, scalars


def _require_equal(count: int, selects: list[dict[str, Any]]) -> None:
    with one_thread():
        alone = _seen(None, selects)
        ranks = on_ranks(count, _seen, selects)
    for rank, found in enumerate(ranks):
        for select, ours, theirs in zip(selects, alone, found, strict=True):
            where = f"{select} on rank {rank} of {count}"
            assert theirs[0] == ours[0], f"other decisions: {where}"
            assert theirs[1] == pytest.approx(ours[1], abs=1e-9), where
            assert theirs[2] == pytest.approx(ours[2], abs=1e-9), where


@pytest.mark.parametrize("count", COUNTS)
def test_a_method_trains_the_same_on_any_number_of_processes(count: int) -> None:
    _require_equal(count, settings()[COUNTS.index(count) :: len(COUNTS)])


def _part(comm: Any, folder: str, until: int | None) -> tuple[list[float], list[list[int]]]:
    """Trains from where the checkpoint stands, if there is one, to a batch or the end; saves."""
    content = {**CONTENT, "select": {"method": "dbpd", "score": "fresh", "threshold": 0.11}}
    session = session_of(content, comm)
    run, shown = session.run, list[list[int]]()
    if any(Path(folder).iterdir()):
        run.load_state_dict(checkpoint.load_newest(Path(folder))[0])
    for done, row in enumerate(train(session.task, session.train_data, run), start=1):
        if run.selection.order is not None:
            shown.append([row.epoch, *run.selection.order.samples.ids_G.tolist()])
        if done == until:
            break
    state = run.state_dict()
    if run.comm.rank == 0:
        checkpoint.save(state, Path(folder), keep=1)
    return torch.cat([p.detach().flatten() for p in run.workers[0].model.parameters()]).tolist(), shown


def test_a_run_goes_on_with_another_number_of_processes_in_the_same_order(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    with one_thread():
        expected, order = _part(None, str(tmp_path / "whole"), None)
        seen = list[list[int]]()
        for count, until in ((2, 4), (3, 4), (1, None)):
            (weights, shown), *_ = on_ranks(count, _part, str(tmp_path / "parts"), until)
            seen += shown
    assert seen == order
    assert weights == pytest.approx(expected, abs=1e-9)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in COUNTS:
        _require_equal(each, settings())
        print(f"{len(settings())} methods: {each} processes are one")
