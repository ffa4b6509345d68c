"""Forward and backward of a global batch: each local worker's micro-batches, and what is summed over their samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from fewer.core import rng
from fewer.core.allocation import shares
from fewer.core.mixing import Mixture
from fewer.core.observation import Observed, Outcome
from fewer.core.protocols import Task
from fewer.core.types import Batch, Forward, Worker
from fewer.training.batches import Candidate, blank, largest_share
from fewer.training.run import Run

if TYPE_CHECKING:
    from torch import Tensor

# Of fp16's losses. What overflows below it would overflow unscaled, too: it is not the scale's fault.
SMALLEST_SCALE = 2.0**-14

_SUMMED = 4  # totals over samples, before the metrics
_SAMPLES, _NOT_FINITE = 2, 3  # their places


def backward(
    task: Task, run: Run, forwards: Sequence[Forward], step: Candidate, nth: int
) -> tuple[list[Tensor], list[float]]:
    """Forward and backward of the local workers' micro-batches.

    Returns:
        The totals over samples of each local worker, and by what its losses were divided.
    """
    at, size, sums_L, denominators, observed = step.at, len(step.samples), [], [], []
    columns, mix, most = run.selection.trained_columns, _mix(run, step, nth), largest_share(run, size, at.epoch)
    for worker, forward, positions, batch in zip(run.workers, forwards, step.positions, step.loaded, strict=True):
        worker.optimizer.zero_grad(set_to_none=True)
        part, sums, seen = step.samples.take(positions), no_sums(task, run.device), []
        if not run.steps_alike and worker.scaler.get_scale() < SMALLEST_SCALE:
            sums[_NOT_FINITE] += 1  # where all see it, as only this worker's gradients overflow
        weight_B, partner_B = part.weight_G, mix.mates(positions, size) if mix else positions
        if mix:
            batch, weight_B = mix.batch(batch, partner_B), mix.shared(weight_B, partner_B)
        denominators.append(run.sync.denominator(size, len(batch)))
        # Where statistics are shared, all processes cut their share as often as the one with the most samples does.
        first, used = 0, _used(run, most if run.statistics else len(batch))
        for micro, count in enumerate(shares(len(batch), run.micro_batches)[:used]):
            run.sync.begin_backward(run.workers, is_last=micro == used - 1)
            if not count:  # other processes wait for this one in every BatchNorm layer
                _stand_in(task, run, worker, forward, step, batch)
                continue
            cut = slice(first, first + count)
            first += count
            rng.reseed(run.seed, "layers", at.epoch, step.number, nth, micro, worker.id)
            outcome = task.outcome(forward, batch.take(cut), at, columns)
            loss_sum = (outcome.loss_sum_B * _sent_to(weight_B[cut], outcome.loss_sum_B)).sum()
            # Divided by what is known now, the samples; dense tasks know the count of losses after `reduce_totals`.
            worker.scaler.scale(loss_sum / denominators[-1]).backward()
            seen.append(outcome.observed(batch.ids_B[cut]))
            sums += _summed(task, outcome, loss_sum)
        if run.sync.excludes_nonfinite and sums[_NOT_FINITE]:
            sums, seen = _nothing_learnt(sums), []
        sums_L.append(sums)
        if seen:
            seen_B = Observed.joined(seen)
            observed.append((mix.credited(seen_B, partner_B, batch.mixed) if mix else seen_B, part.copy_G))
    for seen_B, copy_B in observed:  # behind all that may have to be done again
        run.selection.observe(seen_B, copy_B)
    return sums_L, denominators


def _used(run: Run, samples: int) -> int:
    """How many micro-batches so many samples fill."""
    return sum(count > 0 for count in shares(samples, run.micro_batches))


def _stand_in(task: Task, run: Run, worker: Worker, forward: Forward, step: Candidate, batch: Batch) -> None:
    """A forward and backward that count for nothing, of a process whose share has no samples left."""
    assert run.statistics
    with run.statistics.standing_in():
        outcome = task.outcome(forward, blank(batch, step.samples.ids_G[:1]), step.at)
        worker.scaler.scale(outcome.loss_sum_B.sum() * 0.0).backward()


def _mix(run: Run, step: Candidate, nth: int) -> Mixture | None:
    """How the batch of a step is mixed, the same on every worker; None where it stays as it is."""
    rule = run.plan.mix_rule(step.at)
    return rule.drawn(step.side_px, run.data_seed, step.at.epoch, step.number, nth) if rule else None


def no_sums(task: Task, device: torch.device) -> Tensor:
    """The totals over no samples."""
    return torch.zeros(_SUMMED + len(task.step_metrics), dtype=torch.float64, device=device)


def _summed(task: Task, outcome: Outcome, loss_sum: Tensor) -> Tensor:
    """One micro-batch's part of the totals over samples."""
    loss = loss_sum.detach().double()
    samples = torch.full_like(loss, len(outcome.loss_sum_B))
    metrics = (outcome.metrics[metric.name].sum() for metric in task.step_metrics)
    numbers = (outcome.count_B.sum(), loss, samples, ~torch.isfinite(loss), *metrics)
    return torch.stack([number.double() for number in numbers])


def _sent_to(values: Tensor, like: Tensor) -> Tensor:
    """Values of the host, of the type and on the device of others; the host goes on before they have arrived."""
    values = values.to(like.dtype)
    return values.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else values.to(like.device)


def _nothing_learnt(sums: Tensor) -> Tensor:
    """The totals of a worker that is left out of the next sync: its losses are none, its samples were seen."""
    kept = torch.zeros_like(sums)
    kept[[_SAMPLES, _NOT_FINITE]] = sums[[_SAMPLES, _NOT_FINITE]]
    return kept
