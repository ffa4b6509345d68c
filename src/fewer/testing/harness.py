"""Runs of tiny recipes in memory, to be compared with one another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fewer.core import rng
from fewer.core.protocols import Comm
from fewer.core.types import Request
from fewer.data.listing.splits import Splits
from fewer.plan.plan import Plan
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe
from fewer.runs import checkpoint
from fewer.session.build import Session, make_plan, open_data, open_session
from fewer.session.lr_finder import find_lr
from fewer.session.proxy_choices import choose_by_proxy
from fewer.session.reference_losses import compute_reference_losses
from fewer.training.loop import Row, train
from fewer.training.run import state_digest

Content = dict[str, Any]


def session_of(content: Content, comm: Comm | None = None, plan: Plan | None = None) -> Session:
    """A session on the training images of a recipe alone; nothing is held out, nothing cached.

    Args:
        content: The recipe.
        comm: How ranks exchange tensors.
        plan: The plan of an earlier session of this recipe, where there is one: compiling it counts FLOPs, which takes
            longer than a tiny run.
    """
    recipe, splits = _listed(content)
    return open_session(recipe, splits, comm, plan=plan)


def plan_of(content: Content, ranks: int = 1) -> Plan:
    """The plan of a session of this recipe, for so many ranks."""
    return make_plan(*_listed(content), ranks)


def _listed(content: Content) -> tuple[Recipe, Splits]:
    """The recipe and its data: training images alone, nothing cached."""
    recipe = parse_recipe({**content, "data": {**content["data"], "cache": "no"}})
    return recipe, replace(open_data(recipe), val=None, test=None)


def begun(session: Session) -> Session:
    """Does what comes before the first batch of a run, or belongs to one that goes on."""
    find_lr(session)
    compute_reference_losses(session)
    choose_by_proxy(session)
    return session


def trained(
    content: Content,
    comm: Comm | None = None,
    look: Callable[[Session, Row], None] | None = None,
    plan: Plan | None = None,
) -> Session:
    """Trains a recipe to its end; `look` is called behind every row, `plan` is as for `session_of`."""
    session = begun(session_of(content, comm, plan))
    for row in train(session.task, session.train_data, session.run):
        if look:
            look(session, row)
    return session


def interrupted(
    content: Content, batches: Sequence[int], comm: Comm | None = None, folder: str | None = None
) -> Session:
    """Trains a recipe that is killed after each of the given numbers of candidate batches, and resumed.

    State goes through real checkpoint files; nothing else is handed on but the plan, a function of the recipe.

    Args:
        content: The recipe.
        batches: When to kill, in ascending order.
        comm: How ranks exchange tensors; ranks need a common `folder`.
        folder: Where checkpoints go; a temporary folder if left out.
    """
    with tempfile.TemporaryDirectory() as own:
        checkpoints, done, plan = Path(folder or own), 0, None
        for until in (*batches, None):
            session = session_of(content, comm, plan)
            plan = session.plan
            if done:
                session.run.load_state_dict(checkpoint.load_newest(checkpoints)[0])
            begun(session)
            for _ in train(session.task, session.train_data, session.run):
                done += 1
                if done == until:
                    _save(session, checkpoints)
                    break
        return session


def _save(session: Session, folder: Path) -> None:
    run = session.run
    state = run.state_dict()
    if run.comm.rank == 0:
        checkpoint.save(state, folder, keep=1)
    run.comm.gather(torch.zeros(1))  # no rank reads before it is written


def looked_at(session: Session, row: Row) -> None:
    """All that a curious caller may do between two batches."""
    run, data = session.run, session.train_data
    model = run.evaluated_model()
    requests = [Request.evaluation(session.plan.evaluation_side_px, row.epoch, run.selection.pool_ids[:40])]
    session.task.evaluate(model, data.batches(requests), run.comm)
    state_digest(run.state_dict())
    run.ledger.totals()
    rng.reseed(1, "a caller's own random numbers")
    torch.rand(3)


def weights(session: Session) -> str:
    """Hash of model, optimizer and averages: what plain training and a neutral selection have in common."""
    state = session.run.state_dict()
    return state_digest({name: state[name] for name in ("workers", "averages")})


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread: what tests compare must not depend on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
