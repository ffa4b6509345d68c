"""The only training loop. It reads the plan, calls the parts, and yields a row a batch; its state is `Run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from fewer.core.errors import RecipeError
from fewer.core.protocols import Data, Task
from fewer.core.types import At, Stage
from fewer.optim.groups import momentum_of
from fewer.plan.budget import affordable_share
from fewer.training.batches import Candidate, candidates, forward_sizes
from fewer.training.run import Order, Run, chosen_order, state_digest
from fewer.training.scoring import score_samples, select_in_batch
from fewer.training.step import Totals, agree, take_step


@dataclass(frozen=True, slots=True)
class Row:
    """What one candidate batch did.

    Attributes:
        epoch, batch, batches: The candidate batch, from 0, and how many the epoch has.
        step, steps: Optimizer steps taken so far, and those of this candidate batch; skipped ones are not counted.
        progress: Share of the run before this batch.
        lr: Learning rate of the weights, as the steps of this batch had it.
        momentum: Momentum, or the first beta.
        loss, top1: Means over the samples stepped on; None where there was no step.
        kept, candidates: Samples backpropagated, and samples looked at.
        stop: A stop was requested on some rank; all ranks see it here.
        epoch_end: This was the epoch's last batch, and the table has been brought up to date.
    """

    epoch: int
    batch: int
    batches: int
    step: int
    steps: int
    progress: float
    lr: float
    momentum: float
    loss: float | None
    top1: float | None
    kept: int
    candidates: int
    side_px: int
    stop: bool
    epoch_end: bool


def train(task: Task, data: Data, run: Run) -> Iterator[Row]:
    """Trains from wherever `run` stands to the end of its plan.

    State is complete whenever a row is yielded: the caller may evaluate, checkpoint, or stop for good.

    Args:
        task: What is learnt.
        data: The training images.
        run: What changes.

    Yields:
        A row for each candidate batch.

    Raises:
        DivergedError: The loss is not finite; the step was not taken.
        RecipeError: The selection keeps nothing in a whole epoch.
    """
    while run.cursor.epoch < run.plan.epochs:
        stage = run.plan.stage(run.cursor.epoch)
        _enter(task, run, stage)
        if run.order is None:
            run.order = _choose(task, data, run, stage)
        sizes = forward_sizes(run)
        forwards = [run.sync.forward(worker, stage, sizes) for worker in run.workers]
        for candidate in candidates(data, run, stage):
            batches = [candidate]
            if run.selector.in_batch(candidate.at):
                batches = list(select_in_batch(task, data, run, forwards, candidate))
            steps = [take_step(task, run, forwards, batch, nth) for nth, batch in enumerate(batches)]
            yield _advance(run, candidate, steps)


def _enter(task: Task, run: Run, stage: Stage) -> None:
    """Brings the models into an epoch's shape; done anew in each epoch and after a resume."""
    run.ledger.enter(stage.index)
    for worker in run.workers:
        task.prepare(worker.model, stage, run.cursor.epoch)
        worker.model.train()


def _choose(task: Task, data: Data, run: Run, stage: Stage) -> Order:
    """Scores what the selector wants to know, then draws the epoch's samples."""
    epoch = run.cursor.epoch
    share = affordable_share(run.plan, run.selector.expected, epoch, run.ledger.total("flops"))
    at = run.plan.at(epoch, share=share)
    with run.ledger.phase("select"):
        wanted = run.selector.ids_to_score(run.table, at)
        if len(wanted):
            score_samples(task, data, run, stage, wanted, at)
        chosen = run.selector.select(run.table, run.pool_ids, at)
        if len(chosen.ids_M) < 2:
            raise _keeps_nothing(run, len(chosen.ids_M))
        fresh = run.selector.in_batch(at)
        width = run.selector.candidate_factor(at) if fresh else 1.0
        return chosen_order(run.plan, chosen, at, run.seed, run.selector.packs or fresh, width)


def _advance(run: Run, candidate: Candidate, steps: Sequence[Totals]) -> Row:
    """Moves the cursor behind a candidate batch; at the epoch's end brings the table up to date."""
    at, stage = candidate.at, candidate.stage
    assert run.order is not None
    lr = run.plan.recipe.train.lr * run.plan.lr_factor(at.progress) * run.order.lr_scale
    total = Totals.over(steps) if steps else agree(run)
    kept = int(total.samples)
    if not kept and not (run.selector.packs and run.selector.in_batch(at)):
        run.ledger.book(stage.index, skipped_steps=1)
    run.cursor.batch += 1
    if candidate.is_last:
        _end_epoch(run, stage, at)
    run.ledger.book(stage.index, bytes_sent=run.comm.take_bytes_sent())
    return Row(
        epoch=at.epoch,
        batch=candidate.number,
        batches=candidate.batches,
        step=run.cursor.step,
        steps=int(total.steps),
        progress=at.progress,
        lr=lr,
        momentum=_momentum(run, at),
        loss=total.loss / total.losses if kept else None,
        top1=total.right / total.samples if kept else None,
        kept=kept,
        candidates=len(candidate.samples),
        side_px=stage.side_px,
        stop=total.stops > 0,
        epoch_end=candidate.is_last,
    )


def _momentum(run: Run, at: At) -> float:
    planned = run.plan.momentum(at.progress)
    return momentum_of(run.workers[0].optimizer) if planned is None else planned


def _end_epoch(run: Run, stage: Stage, at: At) -> None:
    left = run.packer.clear()
    run.ledger.book(stage.index, samples_left_over=left)
    if run.selector.in_batch(at) and not run.packed:
        raise _keeps_nothing(run, left)
    _require_equal_ranks(run)
    seen = run.observed.gathered(run.comm)
    run.table.observe("trained", seen["ids"], seen["loss"], seen["score"], seen["right"], at.epoch)
    run.observed.clear()
    run.held.clear()
    if run.lookahead:
        for worker in run.workers:
            run.lookahead.end_epoch(worker.model)
    run.order, run.packed = None, 0
    run.cursor.epoch, run.cursor.batch = run.cursor.epoch + 1, 0


# --- Ranks: who works on what, and what they agree on -----------------------------------------------------------


def _require_equal_ranks(run: Run) -> None:
    """Compares a hash of the weights over all ranks, once an epoch.

    Raises:
        RuntimeError: They differ, which no input can cause: hardware, or a bug.
    """
    if run.comm.workers == 1:
        return
    digest = int(state_digest(dict(run.workers[0].model.state_dict()))[:15], 16)
    digests = run.comm.gather([torch.tensor([digest], device=run.device) for _ in run.workers])
    if len(digests.unique()) > 1:
        raise RuntimeError(f"ranks hold different weights after epoch {run.cursor.epoch + 1}: {digests.tolist()}")


# --- What can go wrong -------------------------------------------------------------------------------------------


def _keeps_nothing(run: Run, kept: int) -> RecipeError:
    keys = run.plan.recipe.select.model_dump(mode="json")
    method, settings = f'select.method = "{keys.pop("method")}"', ", ".join(f"{k} = {v}" for k, v in keys.items())
    if run.plan.own_selector:
        method, settings = run.plan.own_selector, "a selector of your own"
    return RecipeError(
        f"{method} keeps {kept} of {len(run.pool_ids)} samples in epoch {run.cursor.epoch + 1}, too few to train on "
        f"({settings}); the last checkpoint is kept; loosen the selection, or train fewer epochs"
    )
