"""Reference losses of all training images, for methods that compare with them, before the first epoch of a run.

What they cost is part of the run's costs: proxies are trained by the ordinary loop with ledgers of their own, whose
entries the run's ledger takes over. They are part of the selector's state, so a resumed run needs no reference model.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.clock import Cursor
from fewer.core.errors import DivergedError
from fewer.core.ledger import EXACT, LOCAL
from fewer.core.protocols import Data
from fewer.data.one_pass import evaluation_batch_size
from fewer.session.build import Session, open_run
from fewer.session.epoch_metrics import costs
from fewer.session.reference_models import halves, proxy_plan, read_given, reference_of
from fewer.session.selector import selector_of
from fewer.training.loop import train
from fewer.training.run import Run
from fewer.training.scoring import evaluation_requests, gathered, score_shared

if TYPE_CHECKING:
    from torch import Tensor, nn

Note = Callable[[str], None]


def compute_reference_losses(
    session: Session, note: Note = lambda text: None, record: Callable[[dict[str, Any]], None] = lambda row: None
) -> bool:
    """Gives the selector of a run that stands at its beginning its reference losses, where its method needs them.

    `fit` calls this; a loop of one's own over `fewer.train` does so before its first batch.

    Args:
        session: The run; its selector is built again, its ledger books what this takes.
        note: Told what goes on, in words.
        record: Told what came out, as a row.

    Returns:
        False where a stop was requested meanwhile: nothing is provided, and the run must not go on.

    Raises:
        DivergedError: The loss of a proxy is not finite.
        RecipeError, DataError, CheckpointError: As for `fewer.session.reference_models.read_given`.
    """
    plan, run = session.plan, session.run
    if plan.facts.preparation is None or not plan.recipe.select.needs_reference or run.cursor != Cursor():
        return True
    given, began, before = reference_of(plan.recipe), time.monotonic(), run.ledger.total("flops")
    with run.ledger.phase("select"):
        loss_N = _of_given(session) if given else _of_proxies(session, note)
        if loss_N is None:
            return False
        run.selection.selector = selector_of(plan.recipe, session.splits, loss_N)
    loss_M = loss_N[run.selection.pool_ids]
    known_M = loss_M[loss_M.isfinite()]
    mean = float(known_M.double().mean()) if len(known_M) else math.nan
    flops, seconds = run.ledger.total("flops") - before, time.monotonic() - began
    where = "the given model" if given else "two proxies, each for the half that it has not seen"
    note(
        f"reference losses by {where}: mean {mean:.4f}, {len(loss_M) - len(known_M)} of {len(loss_M):,} not finite; "
        f"{flops / plan.plain_epoch_flops:.2f} FEE, {seconds:.0f} s"
    )
    record(
        {
            "kind": "reference",
            **run.cursor.state_dict(),
            "by": "given" if given else "proxies",
            "images": len(loss_M),
            "unknown": len(loss_M) - len(known_M),
            "mean_loss": mean if len(known_M) else None,
            "flops": flops,
            **costs(run.ledger),
        }
    )
    return True


def _of_proxies(session: Session, note: Note) -> Tensor | None:
    """Each half's losses under a proxy that was trained on the other; None where a stop was requested."""
    plan, run, split = session.plan, session.run, session.splits.train
    parts = halves(split, run.seed)
    loss_N = torch.full((len(run.selection.table),), torch.nan)
    for nth, (mine, others) in enumerate((parts, parts[::-1])):
        short = proxy_plan(plan.settled_recipe, plan.facts, len(mine), nth)
        splits = replace(session.splits, train=split.without(others), val=None, test=None)
        selector = selector_of(short.recipe, splits)
        proxy = open_run(short, splits, session.train_data, run.comm, selector, time.monotonic())
        try:
            finished = _trained(session, proxy, note, f"proxy {nth + 1} of 2")
        except DivergedError as error:
            raise DivergedError(f"a proxy, which reference losses were to come from: {error}") from None
        if not finished:
            return None
        # What would be published: averaged weights where there are any.
        stage, flops = proxy.plan.stages[-1], proxy.plan.sample_flops(proxy.plan.epochs - 1)
        by = _Scorer(proxy.evaluated_model(), stage.side_px, stage.batch_size, flops.forward)
        loss_N[others] = _losses(session, session.train_data, by, others)
        session.run.ledger.book(0, **{name: proxy.ledger.total(name) for name in EXACT + LOCAL})
    return loss_N


def _trained(session: Session, proxy: Run, note: Note, name: str) -> bool:
    """Trains to the end, or until a stop is requested of the run itself."""
    for row in train(session.task, session.train_data, proxy):
        if row.stop:
            return False
        proxy.stop_requested = session.run.stop_requested
        if row.epoch_end:
            result = f"loss {row.loss:.4f}" if row.loss is not None else "no step"
            note(f"{name}, epoch {row.epoch + 1}/{proxy.plan.epochs}: {result} in the last batch")
    return True


def _of_given(session: Session) -> Tensor:
    """The losses of all images under the model that `select.reference` names."""
    plan, run = session.plan, session.run
    given = read_given(plan.recipe, plan.facts, plan.precision)
    data = copy.copy(session.train_data)  # the same pictures, brought to 0 and 1 as that model knows them
    if given.moments:
        data.mean, data.std = given.moments
    by = _Scorer(given.model, given.side_px, evaluation_batch_size(given.side_px), given.forward_flops(session.task))
    loss_N = torch.full((len(run.selection.table),), torch.nan)
    loss_N[run.selection.pool_ids] = _losses(session, data, by, run.selection.pool_ids)
    return loss_N


@dataclass(frozen=True)
class _Scorer:
    """A model that looks at images, how large they are and what a forward costs."""

    model: nn.Module
    side_px: int
    batch_size: int
    forward_flops: int


def _losses(session: Session, data: Data, by: _Scorer, ids_M: Tensor) -> Tensor:
    """Losses of the evaluation view of some images, which the processes share out; books what it took."""
    comm, at = session.run.comm, session.plan.at(session.plan.epochs - 1)
    requests = evaluation_requests(ids_M, at.epoch, by.side_px, by.batch_size)
    seen, loaded = score_shared(session.task, data, {comm.rank: by.model}, comm.world_size, requests, at)
    flops = len(ids_M) * by.forward_flops
    session.run.ledger.book(0, samples_loaded=loaded, samples_forwarded=len(ids_M), flops=flops)
    found = gathered(seen, comm)
    loss_N = torch.full((len(session.run.selection.table),), torch.nan)
    loss_N[found.ids_B] = found.loss_B.float()
    return loss_N[ids_M]
