"""One optimizer step on one global batch, and what ranks have to agree on for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from fewer.core import rng
from fewer.core.errors import DivergedError
from fewer.core.protocols import Task
from fewer.core.types import At, Forward, Outcome, Worker
from fewer.optim.groups import set_lr, set_momentum
from fewer.plan.plan import shares
from fewer.training.batches import Candidate
from fewer.training.run import Run

if TYPE_CHECKING:
    from torch import Tensor

# Of fp16's losses. What overflows below it would overflow unscaled, too: it is not the scale's fault.
SMALLEST_SCALE = 2.0**-14


class Totals(NamedTuple):
    """What all ranks agree on after a batch: sums over all of them.

    Attributes:
        losses: How many there are: one a sample in classification.
        loss: Their sum, weighted.
        right: Samples predicted rightly.
        samples: Samples that were backpropagated.
        not_finite: Losses that are not finite.
        stops: Ranks that were asked to stop.
        steps: Optimizer steps; one that overflowed in fp16 is none.
    """

    losses: float = 0.0
    loss: float = 0.0
    right: float = 0.0
    samples: float = 0.0
    not_finite: float = 0.0
    stops: float = 0.0
    steps: float = 0.0

    @classmethod
    def over(cls, batches: Sequence[Totals]) -> Totals:
        """Of several batches."""
        return cls(*map(math.fsum, zip(*batches, strict=True)))


_SUMMED = 5  # of these are summed over samples


def take_step(task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int) -> Totals:
    """One optimizer step on one global batch; returns what all ranks agree on."""
    order, size = run.order, len(step.samples)
    assert order is not None
    with run.ledger.phase("train"):
        sums = _backward(task, run, forwards, step, nth)
        with run.ledger.phase("sync"):
            totals = agree(run, sums)
            if totals.not_finite:
                raise _diverged(run, step.at, "loss")
            run.sync.gradients(run.workers)
        stepped = _update(run, step.at, order.lr_scale, rescale=size / totals.losses)
        if stepped:
            _follow(run, step.at, size)
    flops = run.plan.sample_flops(step.at.epoch)
    run.ledger.book(
        step.stage.index,
        samples_forwarded=size,
        samples_backpropagated=size,
        optimizer_steps=int(stepped),
        skipped_steps=int(not stepped),
        flops=size * (flops.forward + flops.backward),
    )
    return totals._replace(steps=float(stepped))


def _backward(task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int) -> Tensor:
    """Forward and backward of the local workers' micro-batches; returns their first `_SUMMED` totals."""
    at, size, sums = step.at, len(step.samples), torch.zeros(_SUMMED, dtype=torch.float64)
    for worker, forward, positions, batch in zip(run.workers, forwards, step.positions, step.loaded, strict=True):
        worker.optimizer.zero_grad(set_to_none=True)
        part = step.samples.take(positions)
        first = 0
        for micro, count in enumerate(shares(len(batch), run.plan.recipe.train.accumulate)):
            if not count:
                continue
            cut = slice(first, first + count)
            first += count
            rng.reseed(run.seed, "layers", at.epoch, step.number, nth, micro, worker.id)
            outcome = task.outcome(forward, batch.take(cut), at)
            loss_sum = (outcome.loss_sum_B * part.weight_G[cut].to(outcome.loss_sum_B)).sum()
            # Divided by what is known now, the samples; dense tasks know the count of losses after `agree`.
            run.scaler.scale(loss_sum / size).backward()
            run.observed.add(batch.ids_B[cut], part.copy_G[cut], outcome)
            sums += _summed(outcome, loss_sum)
    return sums


def _update(run: Run, at: At, lr_scale: float, rescale: float) -> bool:
    """Rescales and clips the summed gradients, then steps; returns False where float16 gradients have overflowed.

    The gradients are the sums over all ranks, infinities included, so that all ranks skip the same steps.
    """
    scale = run.scaler.get_scale()
    momentum = run.plan.momentum(at.progress)
    for worker in run.workers:
        gradients = [p.grad for p in worker.model.parameters() if p.grad is not None]
        if rescale != 1:
            torch._foreach_mul_(gradients, rescale)
        run.scaler.unscale_(worker.optimizer)
        _clip(run, worker, at)
        set_lr(worker.optimizer, run.plan.lr_factor(at.progress) * lr_scale)
        if momentum is not None:
            set_momentum(worker.optimizer, momentum)
        run.scaler.step(worker.optimizer)
    run.scaler.update()
    if run.scaler.get_scale() < SMALLEST_SCALE:
        raise _diverged(run, at, "gradient, at the smallest loss scale of fp16,")
    return run.scaler.get_scale() >= scale  # torch lowers the scale where, and only where, it has skipped a step


def _clip(run: Run, worker: Worker, at: At) -> None:
    limit = run.plan.recipe.train.clip_norm
    if limit:
        norm = torch.nn.utils.clip_grad_norm_(worker.model.parameters(), limit)
        if not run.scaler.is_enabled() and not torch.isfinite(norm):
            raise _diverged(run, at, "gradient")


def _follow(run: Run, at: At, samples: int) -> None:
    """What follows a step that was taken: sync methods that exchange parameters, and averages of the weights."""
    with run.ledger.phase("sync"):
        run.sync.parameters(run.workers, run.cursor.step + 1)
    run.cursor.step += 1
    if run.ema:
        run.ema.update(run.workers[0].model, samples)
    if run.lookahead:
        run.lookahead.update(run.workers[0].model, run.cursor.step, at.progress)


def agree(run: Run, sums: Tensor | None = None) -> Totals:
    """The loop's one small all-reduce a batch: the sums over local samples, none without a step, and stop requests."""
    local = torch.zeros(_SUMMED + 1, dtype=torch.float64)
    local[:_SUMMED] = 0 if sums is None else sums
    local[_SUMMED] = float(run.stop_requested)
    agreed = local.to(run.device)
    run.comm.all_reduce([agreed])
    return Totals(*agreed.tolist())


def _summed(outcome: Outcome, loss_sum: Tensor) -> Tensor:
    """One micro-batch's part of the first `_SUMMED` totals."""
    loss = loss_sum.detach().double()
    right, count = outcome.right_B.sum(), outcome.count_B.sum()
    samples = torch.full_like(loss, len(outcome.right_B))
    numbers = (count, loss, right, samples, ~torch.isfinite(loss))
    return torch.stack([number.double() for number in numbers]).cpu()


def _diverged(run: Run, at: At, what: str) -> DivergedError:
    hint = ', or train.precision = "fp32", as numbers of fp16 end at 65504' if run.scaler.is_enabled() else ""
    return DivergedError(
        f"the {what} is not finite in epoch {at.epoch + 1}, batch {run.cursor.batch + 1} (step {run.cursor.step + 1}); "
        f"the step was not taken and the last good checkpoint is kept; lower train.lr ({run.plan.recipe.train.lr:g}) "
        f"or set train.clip_norm = 1{hint}"
    )
