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
from fewer.optim.update_norms import measured_step
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
    def read(cls, numbers: Sequence[float]) -> Totals:
        """From the numbers that `_reduced` gives."""
        losses, loss, samples, not_finite, *metrics, stops, grown = numbers
        return cls(losses, loss, samples, not_finite, stops, tuple(metrics), grown=grown)

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
            run.sync.end_backward(run.workers)
            total_T = _reduced(run, sums_L, grown)
            run.sync.sync_gradients(run.workers)
        totals, skipped_L = _update(run, step, total_T, sums_L, denominators)
        # Workers that differ skip apart; attempted steps are theirs in common, and count.
        stepped = not (any(skipped_L) and run.steps_alike)
        if stepped:
            _follow(run, step, totals, skipped_L)
    flops = run.plan.sample_flops(step.at.epoch, step.side_px)
    run.ledger.book(
        step.stage.index,
        samples_forwarded=size,
        samples_backpropagated=size,
        optimizer_steps=int(stepped),
        skipped_steps=int(not stepped),
        flops=size * flops.training + flops.step * int(stepped),
    )
    return totals._replace(steps=float(stepped))


def _update(
    run: Run, step: Candidate, total_T: Tensor, sums_L: Sequence[Tensor], denominators: Sequence[float]
) -> tuple[Totals, list[bool]]:
    """Rescales and clips the gradients, then steps; returns the totals, and on which workers fp16 has overflowed.

    The host waits for the device once, when all is known that may forbid the step. Gradients that were summed hold the
    infinities of all workers, so that all skip the same steps.
    """
    is_checked = bool(run.plan.recipe.train.clip_norm) or run.workers[0].scaler.is_enabled()
    flags_L = [total_T.new_zeros(2) for _ in run.workers]
    if is_checked:  # what decides comes behind the rescaling, whose factors stay on the device then
        factors = _rescales(run, total_T[0], [sums[0] for sums in sums_L], denominators)
        flags_L = [_ready(run, worker, each, total_T) for worker, each in zip(run.workers, factors, strict=True)]
    with run.ledger.phase("sync"):
        losses_L = torch.stack([sums[0] for sums in sums_L])
        numbers = torch.cat([total_T, losses_L, *flags_L]).tolist()
    count, local = len(total_T), len(sums_L)
    totals, flags = Totals.read(numbers[:count]), numbers[count + local :]
    _check(run, step, totals, flags)
    for place, worker in enumerate(run.workers):
        if not is_checked:
            (factor,) = _rescales(run, totals.losses, [numbers[count + place]], [denominators[place]])
            if factor != 1:
                torch._foreach_mul_(_gradients(worker), factor)
        _step(run, step, worker, has_overflowed=bool(flags[2 * place]))
    return totals, list(map(bool, flags[::2]))


def _rescales(run: Run, of_all: Any, of_workers: Sequence[Any], denominators: Sequence[float]) -> list[Any]:
    """What losses were divided by is known in samples before the backward, and in losses now."""
    return [
        denominator / run.sync.denominator(of_all, of_worker)
        for denominator, of_worker in zip(denominators, of_workers, strict=True)
    ]


def _ready(run: Run, worker: Worker, factor: Tensor, total_T: Tensor) -> Tensor:
    """Rescales, unscales and clips a worker's gradients.

    Returns:
        Whether they have overflowed in fp16, and whether their norm is not finite; still on the device.
    """
    gradients, flags = _gradients(worker), total_T.new_zeros(2)
    if not gradients:  # an empty share, of a method that exchanges none
        return flags
    torch._foreach_mul_(gradients, factor.to(gradients[0]))
    if worker.scaler.is_enabled():
        worker.scaler.scale(total_T[0])  # a worker with an empty share has scaled no loss yet
        worker.scaler.unscale_(worker.optimizer)
        found = worker.scaler._found_inf_per_device(worker.optimizer)
        flags[0] = torch.stack([each.to(flags) for each in found.values()]).sum()
    if limit := run.plan.recipe.train.clip_norm:
        norm = torch.nn.utils.clip_grad_norm_(worker.model.parameters(), limit)
        flags[1] = ~torch.isfinite(norm)
    return flags


def _check(run: Run, step: Candidate, totals: Totals, flags: Sequence[float]) -> None:
    """Ends a run whose loss or gradients are no numbers; called before the step is taken."""
    if totals.grown:
        agree(run, step)
    if totals.not_finite and not (totals.losses and run.sync.excludes_nonfinite):
        raise _diverged(run, step.at, "loss")
    # Workers that differ must not end one by one: the next loss tells all of them.
    if run.steps_alike and not run.workers[0].scaler.is_enabled() and any(flags[1::2]):
        raise _diverged(run, step.at, "gradient")


def _step(run: Run, step: Candidate, worker: Worker, has_overflowed: bool) -> None:
    """A worker's step at the rates of the moment, unless its gradients have overflowed."""
    at, momentum = step.at, run.plan.momentum(step.at.progress, step.stage)
    set_lr(worker.optimizer, lr_factor(run, step.stage, at.progress))
    if momentum is not None:
        set_momentum(worker.optimizer, momentum)
    if not has_overflowed and step.is_last and worker is run.workers[0]:
        worker.update_norms = measured_step(worker.optimizer)
    elif not has_overflowed:
        worker.optimizer.step()
    if worker.scaler.is_enabled() and _gradients(worker):
        worker.scaler.update()
        # torch lowers the scale where, and only where, a step was skipped.
        if has_overflowed and run.steps_alike and worker.scaler.get_scale() < SMALLEST_SCALE:
            raise _diverged(run, at, "gradient, at the smallest loss scale of fp16,")


def _gradients(worker: Worker) -> list[Tensor]:
    return [parameter.grad for parameter in worker.model.parameters() if parameter.grad is not None]


def _follow(run: Run, step: Candidate, totals: Totals, skipped_L: Sequence[bool]) -> None:
    """What follows a step that was taken: sync methods that exchange parameters, and averages of the weights."""
    at = step.at
    point = SyncPoint(
        step=run.cursor.step + 1,
        progress=run.plan.at(at.epoch, step.number + 1, step.batches).progress,
        epochs=run.plan.scheduled_epochs,
        epochs_past=at.epoch + (step.number + 1) / step.batches,
        lr=run.plan.peak_lr * lr_factor(run, step.stage, at.progress),
        loss=totals.loss / max(1.0, totals.losses),  # none where all of a batch is void
        samples=len(step.samples),
        samples_L=[len(batch) for batch in step.loaded],
        skipped_L=skipped_L,
    )
    with run.ledger.phase("sync"):
        agreed = run.sync.sync_parameters(run.workers, point)
    run.cursor.step += 1
    run.follow(agreed, at.progress)


def reduce_totals(task: Task, run: Run) -> Totals:
    """What processes ask for, behind a batch without a step."""
    return Totals.read(_reduced(run, [no_sums(task, run.device)] * len(run.workers)).tolist())


def _reduced(run: Run, sums_L: Sequence[Tensor], grown: bool = False) -> Tensor:
    """The loop's one small reduction a batch: sums over samples and what processes ask for, still on the device."""
    local = []
    for place, sums in enumerate(sums_L):
        asks = (run.stop_requested, grown) if place == 0 else (False, False)  # a process asks once
        local.append(torch.cat([sums, *(sums.new_full((1,), float(asked)) for asked in asks)]))
    return run.sync.reduce_totals(local)


def _diverged(run: Run, at: At, what: str) -> DivergedError:
    is_scaled = run.workers[0].scaler.is_enabled()
    hint = ', or train.precision = "fp32", as numbers of fp16 end at 65504' if is_scaled else ""
    return DivergedError(
        f"the {what} is not finite in epoch {at.epoch + 1}, batch {run.cursor.batch + 1} (step {run.cursor.step + 1}); "
        f"the step was not taken and the last good checkpoint is kept; lower train.lr ({run.plan.peak_lr:g}) "
        f"or set train.clip_norm = 1{hint}"
    )
