"""The only training loop. It reads the plan, calls the parts, and yields a row a batch; its state is `Run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fewer import rng
from fewer.deal import Candidate, candidates
from fewer.errors import DivergedError, RecipeError
from fewer.optim.sgd import set_lr
from fewer.parts import At, Data, Forward, Outcome, Stage, Task, Worker
from fewer.plan import shares
from fewer.run import Order, Run, chosen_order, state_digest
from fewer.screen import kept_batches, score_samples

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """What one candidate batch did.

    Attributes:
        epoch, batch, batches: The candidate batch, from 0, and how many the epoch has.
        step, steps: Optimizer steps taken so far, and those of this candidate batch.
        progress: Share of the run before this batch.
        lr: Learning rate of the weights.
        loss, top1: Means over the samples stepped on; None where there was no step.
        kept, candidates: Samples stepped on, and samples looked at.
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
        forwards = _enter(task, run, stage)
        if run.order is None:
            run.order = _choose(task, data, run, stage)
        for candidate in candidates(data, run, stage):
            batches = [candidate]
            if run.selector.fresh(candidate.at):
                batches = list(kept_batches(task, data, run, forwards, candidate))
            steps = [_step(task, run, forwards, batch, nth) for nth, batch in enumerate(batches)]
            yield _advance(run, candidate, steps)


def _enter(task: Task, run: Run, stage: Stage) -> list[Forward]:
    """Brings the models into an epoch's shape; done anew in each epoch and after a resume."""
    run.ledger.enter(stage.index)
    for worker in run.workers:
        task.prepare(worker.model, stage, run.cursor.epoch)
        worker.model.train()
    return [run.sync.forward(worker, stage) for worker in run.workers]


def _choose(task: Task, data: Data, run: Run, stage: Stage) -> Order:
    """Scores what the selector wants to know, then draws the epoch's samples."""
    at = run.plan.at(run.cursor.epoch)
    with run.ledger.phase("select"):
        wanted = run.selector.wants(run.table, at)
        if len(wanted):
            score_samples(task, data, run, stage, wanted, at)
        chosen = run.selector.order(run.table, run.pool_ids, at)
        if len(chosen.ids_M) < 2:
            raise _keeps_nothing(run, len(chosen.ids_M))
        fresh = run.selector.fresh(at)
        width = run.selector.candidates(at) if fresh else 1.0
        return chosen_order(run.plan, chosen, at.epoch, run.seed, run.selector.packs or fresh, width)


def _step(task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int) -> Tensor:
    """One optimizer step on one global batch; returns what all ranks agree on, see `_agree`."""
    plan, at, order = run.plan, step.at, run.order
    assert order is not None
    size = len(step.samples)
    totals = torch.zeros(6, dtype=torch.float64)
    with run.ledger.phase("train"):
        for worker, forward, positions, batch in zip(run.workers, forwards, step.positions, step.loaded, strict=True):
            worker.optimizer.zero_grad(set_to_none=True)
            part = step.samples.take(positions)
            first = 0
            for micro, count in enumerate(shares(len(batch), plan.recipe.train.accumulate)):
                if not count:
                    continue
                cut = slice(first, first + count)
                first += count
                rng.reseed(run.seed, "layers", at.epoch, step.number, nth, micro, worker.id)
                outcome = task.outcome(forward, batch.take(cut), at)
                loss_sum = (outcome.loss_sum_B * part.weight_G[cut].to(outcome.loss_sum_B)).sum()
                # Divided by what is known now, the samples; dense tasks know the count of losses after `_agree`.
                (loss_sum / size).backward()
                run.observed.add(batch.ids_B[cut], part.copy_G[cut], outcome)
                totals += _summed(outcome, loss_sum)
        with run.ledger.phase("sync"):
            totals = _agree(run, totals)
            _raise_unless_finite(run, totals, at)
            run.sync.gradients(run.workers)
        for worker in run.workers:
            _update(run, worker, at, order.lr_scale, rescale=size / float(totals[0]))
        with run.ledger.phase("sync"):
            run.sync.parameters(run.workers, run.cursor.step + 1)
        run.cursor.step += 1
        if run.ema:
            run.ema.update(run.workers[0].model, size)
        if run.lookahead:
            run.lookahead.update(run.workers[0].model, run.cursor.step, at.progress)
    flops = plan.sample_flops(at.epoch)
    run.ledger.book(
        step.stage.index,
        samples_forwarded=size,
        samples_backpropagated=size,
        optimizer_steps=1,
        flops=size * (flops.forward + flops.backward),
    )
    return totals


def _update(run: Run, worker: Worker, at: At, lr_scale: float, rescale: float) -> None:
    """Rescales and clips the summed gradient, then steps."""
    gradients = [p.grad for p in worker.model.parameters() if p.grad is not None]
    if rescale != 1:
        torch._foreach_mul_(gradients, rescale)
    limit = run.plan.recipe.train.clip_norm
    if limit:
        norm = torch.nn.utils.clip_grad_norm_(worker.model.parameters(), limit)
        if not torch.isfinite(norm):
            raise _diverged(run, at, "gradient")
    set_lr(worker.optimizer, run.plan.lr_factor(at.progress) * lr_scale)
    worker.optimizer.step()


def _advance(run: Run, candidate: Candidate, steps: Sequence[Tensor]) -> Row:
    """Moves the cursor behind a candidate batch; at the epoch's end brings the table up to date."""
    at, stage = candidate.at, candidate.stage
    total = torch.stack(list(steps)).sum(0) if steps else _agree(run, torch.zeros(6, dtype=torch.float64))
    kept = int(total[3])
    if not kept and not (run.selector.packs and run.selector.fresh(at)):
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
        steps=len(steps),
        progress=at.progress,
        lr=run.plan.recipe.train.lr * run.plan.lr_factor(at.progress),
        loss=float(total[1] / total[0]) if kept else None,
        top1=float(total[2] / total[3]) if kept else None,
        kept=kept,
        candidates=len(candidate.samples),
        side_px=stage.side_px,
        stop=bool(total[5] > 0),
        epoch_end=candidate.is_last,
    )


def _end_epoch(run: Run, stage: Stage, at: At) -> None:
    left = run.packer.clear()
    run.ledger.book(stage.index, samples_left_over=left)
    if run.selector.fresh(at) and not run.packed:
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


def _agree(run: Run, totals: Tensor) -> Tensor:
    """The loop's one small all-reduce a batch: count, loss, right, samples, non-finite losses, stop requests."""
    totals[5] = float(run.stop_requested)
    totals = totals.to(run.device if run.device.type != "mps" else "cpu")
    run.comm.all_reduce([totals])
    return totals.cpu()


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


def _summed(outcome: Outcome, loss_sum: Tensor) -> Tensor:
    """One worker's part of what `_agree` adds up."""
    loss = loss_sum.detach().double()
    right, count = outcome.right_B.sum(), outcome.count_B.sum()
    samples = torch.full_like(loss, len(outcome.right_B))
    numbers = (count, loss, right, samples, ~torch.isfinite(loss), torch.zeros_like(loss))
    return torch.stack([number.double() for number in numbers]).cpu()


# --- What can go wrong -------------------------------------------------------------------------------------------


def _raise_unless_finite(run: Run, totals: Tensor, at: At) -> None:
    if totals[4] > 0:
        raise _diverged(run, at, "loss")


def _diverged(run: Run, at: At, what: str) -> DivergedError:
    return DivergedError(
        f"the {what} is not finite in epoch {at.epoch + 1}, batch {run.cursor.batch + 1} (step {run.cursor.step + 1}); "
        f"the step was not taken and the last good checkpoint is kept; lower train.lr ({run.plan.recipe.train.lr:g}) "
        "or set train.clip_norm = 1"
    )


def _keeps_nothing(run: Run, kept: int) -> RecipeError:
    method = run.plan.recipe.select.model_dump(mode="json")
    return RecipeError(
        f'select.method = "{method.pop("method")}" keeps {kept} of {len(run.pool_ids)} samples in epoch '
        f"{run.cursor.epoch + 1}, too few to train on ({', '.join(f'{k} = {v}' for k, v in method.items())}); "
        "the last checkpoint is kept; loosen the selection, or train fewer epochs"
    )
