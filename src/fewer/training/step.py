"""One optimizer step on one global batch, and what workers have to agree on for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from fewer.core import rng
from fewer.core.allocation import shares
from fewer.core.errors import DivergedError
from fewer.core.mixing import Mix, partners
from fewer.core.observation import Observed, Outcome
from fewer.core.protocols import Task
from fewer.core.types import At, Forward, SyncPoint, Worker
from fewer.optim.groups import set_lr, set_momentum
from fewer.training.batches import Candidate
from fewer.training.memory import agree, within_memory
from fewer.training.run import Run
from fewer.training.transition import lr_factor

if TYPE_CHECKING:
    from torch import Tensor

# Of fp16's losses. What overflows below it would overflow unscaled, too: it is not the scale's fault.
SMALLEST_SCALE = 2.0**-14


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


_SUMMED = 4  # of them are summed over samples, and then the metrics
_SAMPLES, _NOT_FINITE = 2, 3  # their places


def take_step(task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int) -> Totals:
    """One optimizer step on one global batch; returns what all workers agree on."""
    size = len(step.samples)
    with run.ledger.phase("train"):
        done, grown = within_memory(run, step, lambda: _backward(task, run, forwards, step, nth))
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


def _backward(
    task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int
) -> tuple[list[Tensor], list[float]]:
    """Forward and backward of the local workers' micro-batches.

    Returns:
        The totals over samples of each local worker, and by what its losses were divided.
    """
    at, size, sums_L, denominators, observed = step.at, len(step.samples), [], [], []
    columns, mix = run.selection.selector.columns, _mix(run, step, nth)
    for worker, forward, positions, batch in zip(run.workers, forwards, step.positions, step.loaded, strict=True):
        worker.optimizer.zero_grad(set_to_none=True)
        part, sums, seen = step.samples.take(positions), _zeros(task), []
        if not run.sync.keeps_equal and worker.scaler.get_scale() < SMALLEST_SCALE:
            sums[_NOT_FINITE] += 1  # where all see it, as only this worker's gradients overflow
        weight_B, partner_B = part.weight_G, partners(positions, size) if mix else positions
        if mix:
            batch, weight_B = mix.batch(batch, partner_B), mix.shared(weight_B, partner_B)
        denominators.append(run.sync.denominator(size, len(batch)))
        first = 0
        for micro, count in enumerate(shares(len(batch), run.micro_batches)):
            if not count:
                continue
            cut = slice(first, first + count)
            first += count
            rng.reseed(run.seed, "layers", at.epoch, step.number, nth, micro, worker.id)
            outcome = task.outcome(forward, batch.take(cut), at, columns)
            loss_sum = (outcome.loss_sum_B * weight_B[cut].to(outcome.loss_sum_B)).sum()
            # Divided by what is known now, the samples; dense tasks know the count of losses after `reduce_totals`.
            worker.scaler.scale(loss_sum / denominators[-1]).backward()
            seen.append(outcome.observed(batch.ids_B[cut]))
            sums += _summed(task, outcome, loss_sum)
        if run.sync.excludes_nonfinite and sums[_NOT_FINITE]:
            sums, seen = _nothing_learnt(sums), []
        sums_L.append(sums)
        if seen:
            seen_B = Observed.joined(seen)
            observed.append((mix.credited(seen_B, partner_B) if mix else seen_B, part.copy_G))
    for seen_B, copy_B in observed:  # behind all that may have to be done again
        run.selection.observe(seen_B, copy_B)
    return sums_L, denominators


def _mix(run: Run, step: Candidate, nth: int) -> Mix | None:
    """How the batch of a step is mixed, the same on every worker; None where it stays as it is."""
    rule = run.plan.mix_rule(step.at)
    return rule.drawn(step.stage.side_px, run.seed, step.at.epoch, step.number, nth) if rule else None


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
        for sums, asked in zip(sums_L or [_zeros(task)] * len(run.workers), asks, strict=True)
    ]
    losses, loss, samples, not_finite, *metrics, stopped, grew = run.sync.reduce_totals(local).tolist()
    return Totals(losses, loss, samples, not_finite, stopped, tuple(metrics), grown=grew)


def _nothing_learnt(sums: Tensor) -> Tensor:
    """The totals of a worker that is left out of the next sync: its losses are none, its samples were seen."""
    kept = torch.zeros_like(sums)
    kept[[_SAMPLES, _NOT_FINITE]] = sums[[_SAMPLES, _NOT_FINITE]]
    return kept


def _zeros(task: Task) -> Tensor:
    """The totals over no samples."""
    return torch.zeros(_SUMMED + len(task.step_metrics), dtype=torch.float64)


def _summed(task: Task, outcome: Outcome, loss_sum: Tensor) -> Tensor:
    """One micro-batch's part of the totals over samples."""
    loss = loss_sum.detach().double()
    samples = torch.full_like(loss, len(outcome.loss_sum_B))
    metrics = (outcome.metrics[metric.name].sum() for metric in task.step_metrics)
    numbers = (outcome.count_B.sum(), loss, samples, ~torch.isfinite(loss), *metrics)
    return torch.stack([number.double() for number in numbers]).cpu()


def _diverged(run: Run, at: At, what: str) -> DivergedError:
    is_scaled = run.workers[0].scaler.is_enabled()
    hint = ', or train.precision = "fp32", as numbers of fp16 end at 65504' if is_scaled else ""
    return DivergedError(
        f"the {what} is not finite in epoch {at.epoch + 1}, batch {run.cursor.batch + 1} (step {run.cursor.step + 1}); "
        f"the step was not taken and the last good checkpoint is kept; lower train.lr ({run.plan.peak_lr:g}) "
        f"or set train.clip_norm = 1{hint}"
    )
