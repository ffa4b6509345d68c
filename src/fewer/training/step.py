"""One optimizer step on one global batch, and what workers have to agree on for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from fewer.core.errors import DivergedError
from fewer.core.protocols import Task
from fewer.core.types import At, Forward, SyncPoint, Worker
from fewer.optim.groups import set_lr, set_momentum
from fewer.training.backward import SMALLEST_SCALE, backward, no_sums
from fewer.training.batches import Candidate
from fewer.training.memory import agree, within_memory
from fewer.training.run import Run
from fewer.training.transition import lr_factor

if TYPE_CHECKING:
    from torch import Tensor


class Totals(NamedTuple):
    """Sums over all workers that all agree on after a batch.

    Attributes:
        losses: How many there are: one a sample in classification.
        loss: Their sum, weighted.
        samples: Samples that were backpropagated.
        not_finite: Losses that are not finite.
        stops: Processes that were asked to stop.
        metrics: Sums of the task's step metrics.
        steps: Optimizer steps; one that overflowed in fp16 is none.
        grown: Processes that had to cut the batch into more parts.
    """

    losses: float = 0.0
    loss: float = 0.0
    samples: float = 0.0
    not_finite: float = 0.0
    stops: float = 0.0
    metrics: tuple[float, ...] = ()
    steps: float = 0.0
    grown: float = 0.0

    @classmethod
    def over(cls, batches: Sequence[Totals]) -> Totals:
        """Of several batches."""
        sums: dict[str, Any] = dict(zip(cls._fields, zip(*batches, strict=True), strict=True))
        metrics = zip(*sums.pop("metrics"), strict=True)
        return cls(metrics=tuple(map(math.fsum, metrics)), **{name: math.fsum(sums[name]) for name in sums})


def take_step(task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int) -> Totals:
    """One optimizer step on one global batch; returns what all workers agree on."""
    size = len(step.samples)
    with run.ledger.phase("train"):
        done, grown = within_memory(run, step, lambda: backward(task, run, forwards, step, nth))
        sums_L, denominators = done
        with run.ledger.phase("sync"):
            totals = reduce_totals(task, run, sums_L, grown)
            if totals.grown:
                agree(run, step)
            if not totals.losses or (totals.not_finite and not run.sync.excludes_nonfinite):
                raise _diverged(run, step.at, "loss")
            run.sync.sync_gradients(run.workers)
        # What losses were divided by is known in samples before the backward, and in losses now.
        rescales = [
            denominator / run.sync.denominator(totals.losses, float(sums[0]))
            for denominator, sums in zip(denominators, sums_L, strict=True)
        ]
        skipped = _update(run, step, rescales)
        # Workers that differ skip apart; attempted steps are theirs in common, and count.
        stepped = not (skipped and run.sync.keeps_equal)
        if stepped:
            _follow(run, step, totals, skipped)
    flops = run.plan.sample_flops(step.at.epoch, step.side_px)
    run.ledger.book(
        step.stage.index,
        samples_forwarded=size,
        samples_backpropagated=size,
        optimizer_steps=int(stepped),
        skipped_steps=int(not stepped),
        flops=size * (flops.forward + flops.backward),
    )
    return totals._replace(steps=float(stepped))


def _update(run: Run, step: Candidate, rescales: Sequence[float]) -> int:
    """Rescales and clips the gradients, then steps; returns on how many workers float16 gradients have overflowed.

    Gradients that were summed hold the infinities of all workers, so that all skip the same steps.
    """
    at, momentum, skipped = step.at, run.plan.momentum(step.at.progress, step.stage), 0
    for worker, rescale in zip(run.workers, rescales, strict=True):
        scale = worker.scaler.get_scale()
        gradients = [p.grad for p in worker.model.parameters() if p.grad is not None]
        if rescale != 1:
            torch._foreach_mul_(gradients, rescale)
        worker.scaler.unscale_(worker.optimizer)
        _clip(run, worker, at)
        set_lr(worker.optimizer, lr_factor(run, step.stage, at.progress))
        if momentum is not None:
            set_momentum(worker.optimizer, momentum)
        worker.scaler.step(worker.optimizer)
        worker.scaler.update()
        if run.sync.keeps_equal and worker.scaler.get_scale() < SMALLEST_SCALE:
            raise _diverged(run, at, "gradient, at the smallest loss scale of fp16,")
        # torch lowers the scale where, and only where, it has skipped a step.
        skipped += worker.scaler.get_scale() < scale
    return skipped


def _clip(run: Run, worker: Worker, at: At) -> None:
    limit = run.plan.recipe.train.clip_norm
    if limit:
        norm = torch.nn.utils.clip_grad_norm_(worker.model.parameters(), limit)
        # Workers that differ must not end one by one: the next loss tells all of them.
        if run.sync.keeps_equal and not worker.scaler.is_enabled() and not torch.isfinite(norm):
            raise _diverged(run, at, "gradient")


def _follow(run: Run, step: Candidate, totals: Totals, skipped: int) -> None:
    """What follows a step that was taken: sync methods that exchange parameters, and averages of the weights."""
    at = step.at
    point = SyncPoint(
        step=run.cursor.step + 1,
        progress=run.plan.at(at.epoch, step.number + 1, step.batches).progress,
        epochs=run.plan.epochs,
        lr=run.plan.peak_lr * lr_factor(run, step.stage, at.progress),
        loss=totals.loss / totals.losses,
        samples=len(step.samples),
        samples_L=[len(batch) for batch in step.loaded],
        skipped=skipped,
    )
    with run.ledger.phase("sync"):
        agreed = run.sync.sync_parameters(run.workers, point)
    run.cursor.step += 1
    run.follow(agreed, at.progress)


def reduce_totals(task: Task, run: Run, sums_L: Sequence[Tensor] | None = None, grown: bool = False) -> Totals:
    """The loop's one small reduction a batch: sums over samples, none without a step, and what processes ask for."""
    asks = [(float(run.stop_requested), float(grown))] + [(0.0, 0.0)] * (len(run.workers) - 1)  # a process asks once
    local = [
        torch.cat([sums, sums.new_tensor(asked)]).to(run.device)
        for sums, asked in zip(sums_L or [no_sums(task)] * len(run.workers), asks, strict=True)
    ]
    losses, loss, samples, not_finite, *metrics, stopped, grew = run.sync.reduce_totals(local).tolist()
    return Totals(losses, loss, samples, not_finite, stopped, tuple(metrics), grown=grew)


def _diverged(run: Run, at: At, what: str) -> DivergedError:
    is_scaled = run.workers[0].scaler.is_enabled()
    hint = ', or train.precision = "fp32", as numbers of fp16 end at 65504' if is_scaled else ""
    return DivergedError(
        f"the {what} is not finite in epoch {at.epoch + 1}, batch {run.cursor.batch + 1} (step {run.cursor.step + 1}); "
        f"the step was not taken and the last good checkpoint is kept; lower train.lr ({run.plan.peak_lr:g}) "
        f"or set train.clip_norm = 1{hint}"
    )
