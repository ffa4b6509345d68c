"""The only training loop. It reads the plan, calls the parts, and yields a row a batch; its state is `Run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fewer.core.errors import RecipeError
from fewer.core.protocols import Data, Task
from fewer.core.types import At, Stage, Worker
from fewer.optim.groups import momentum_of
from fewer.training.batches import Candidate, candidates
from fewer.training.features import FeatureCache
from fewer.training.run import Run, state_digest
from fewer.training.scoring import score_samples, select_in_batch
from fewer.training.step import Totals, reduce_totals, take_step
from fewer.training.transition import enter_epoch, lr_factor, shape_models


@dataclass(frozen=True, slots=True)
class Row:
    """What one candidate batch did.

    Attributes:
        epoch, batch, batches: The candidate batch, from 0, and how many the epoch has.
        step, steps: Optimizer steps taken so far, and those of this candidate batch; skipped ones are not counted.
        progress: Share of the run before this batch.
        lr: Learning rate of the weights, as the steps of this batch had it.
        momentum: Momentum, or the first beta.
        loss: Mean over the samples stepped on; None where there was no step.
        metrics: Likewise the task's step metrics, by name.
        kept, candidates: Samples backpropagated, and samples looked at.
        stop: A stop was requested on some rank; all ranks see it here.
        epoch_end: This was the epoch's last batch, and the table has been brought up to date.
        sync: Numbers of syncs of parameters in this batch, by name; mostly none.
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
    metrics: Mapping[str, float | None]
    kept: int
    candidates: int
    side_px: int
    stop: bool
    epoch_end: bool
    sync: Mapping[str, float] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """What a run's record holds of it."""
        found: dict[str, Any] = {}
        for name in _RECORDED:
            value = getattr(self, name)
            found |= value if name in ("metrics", "sync") else {name: value}
        return found


_RECORDED = (
    "epoch", "batch", "step", "progress", "lr", "momentum", "loss", "metrics", "kept", "candidates", "side_px",
    "sync",
)  # fmt: skip


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
    features = FeatureCache(task, data, run)
    if run.cursor.epoch >= run.plan.epochs:  # resumed behind its end: what is frozen stays so in evaluation
        shape_models(task, run, run.plan.stages[-1], run.plan.epochs - 1)
    while run.cursor.epoch < run.plan.epochs:
        stage = run.plan.stage(run.cursor.epoch)
        enter_epoch(task, run, stage)
        if run.selection.order is None:
            _select(task, data, run, stage)
        views, calls = features.enter(stage)
        for candidate in candidates(views, run, stage):
            batches = [candidate]
            if run.selection.selector.in_batch(candidate.at):
                batches = list(select_in_batch(task, views, run, calls, candidate))
            steps = [take_step(task, run, calls, batch, nth) for nth, batch in enumerate(batches)]
            yield _advance(task, run, candidate, steps)


def _select(task: Task, data: Data, run: Run, stage: Stage) -> None:
    """Scores what the selector asks for, then draws the epoch's samples and cuts them into batches."""
    epoch, selection, selector = run.cursor.epoch, run.selection, run.selection.selector
    level = run.plan.budget.affordable_level(selector.expected, epoch, run.ledger.total("flops"))
    at = run.plan.at(epoch, share=run.plan.budget.at(epoch, level).share)
    with run.ledger.phase("select"):
        wanted = selection.ids_to_score(at)
        if len(wanted):
            selection.observe_scored(score_samples(task, data, run, stage, wanted, at), epoch)
        selected = selection.select(at)
        if len(selected.ids_M) < 2:
            raise _keeps_nothing(run, len(selected.ids_M))
        in_batch = selector.in_batch(at)
        widths = (selector.candidate_factor(at) if in_batch else 1.0, 1.0)
        packs, samples = selector.packs or in_batch, len(selected.ids_M)
        sizes, step_sizes = (
            run.plan.cut_short(epoch, run.plan.batch_sizes(samples, epoch, packs, width)) for width in widths
        )
        selection.begin(selected, at, sizes, step_sizes)


def _advance(task: Task, run: Run, candidate: Candidate, steps: Sequence[Totals]) -> Row:
    """Moves the cursor behind a candidate batch; at the epoch's end brings the table up to date."""
    at, stage, selector = candidate.at, candidate.stage, run.selection.selector
    lr = run.plan.peak_lr * lr_factor(run, stage, at.progress)
    total = Totals.over(steps) if steps else reduce_totals(task, run)
    kept = int(total.samples)
    if not kept and not (selector.packs and selector.in_batch(at)):
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
        progress=(at.epoch + candidate.number / candidate.batches) / at.epochs,
        lr=lr,
        momentum=_momentum(run, at, stage),
        loss=total.loss / total.losses if total.losses else None,
        metrics={
            metric.name: summed / total.samples if kept else None
            for metric, summed in zip(task.step_metrics, total.metrics, strict=True)
        },
        kept=kept,
        candidates=len(candidate.samples),
        side_px=candidate.side_px,
        stop=total.stops > 0,
        epoch_end=candidate.is_last,
        sync=run.sync.take_report(),
    )


def _momentum(run: Run, at: At, stage: Stage) -> float:
    planned = run.plan.momentum(at.progress, stage)
    return momentum_of(run.workers[0].optimizer) if planned is None else planned


def _end_epoch(run: Run, stage: Stage, at: At) -> None:
    left = run.selection.packer.clear()
    run.ledger.book(stage.index, samples_left_over=left)
    if run.selection.selector.in_batch(at) and not run.selection.packed:
        raise _keeps_nothing(run, left)
    if _must_agree(run, at.epoch + 1):
        with run.ledger.phase("sync"):
            agreed = run.sync.finish(run.workers)
        run.follow(agreed, run.plan.progress(at.epoch + 1))
    if run.sync.workers > 1 and run.sync.keeps_equal:
        run.sync.require_equal(run.workers, [_digest(worker) for worker in run.workers])
    run.selection.end(run.comm, at.epoch)
    for worker in run.workers:
        worker.held = None
    for average in run.averages.values():
        average.end_epoch([worker.model for worker in run.workers])
    run.cursor.epoch, run.cursor.batch = run.cursor.epoch + 1, 0


def _must_agree(run: Run, epochs: int) -> bool:
    """Whether all workers must hold the same weights behind so many epochs: at the end, and before features are kept.

    These are computed once, by one worker's body, for the heads of all.
    """
    if epochs == run.plan.epochs:
        return True
    before, behind = run.plan.stage(epochs - 1), run.plan.stage(epochs)
    is_kept = before.keeps_features and before.frozen_layers == behind.frozen_layers
    return behind.keeps_features and not is_kept


def _digest(worker: Worker) -> int:
    """A hash of a worker's weights that fits into an int64."""
    return int(state_digest(dict(worker.model.state_dict()))[:15], 16)


# --- What can go wrong -------------------------------------------------------------------------------------------


def _keeps_nothing(run: Run, kept: int) -> RecipeError:
    keys = run.plan.recipe.select.model_dump(mode="json")
    method, settings = f'select.method = "{keys.pop("method")}"', ", ".join(f"{k} = {v}" for k, v in keys.items())
    if run.plan.own_selector:
        method, settings = run.plan.own_selector, "a selector of your own"
    return RecipeError(
        f"{method} keeps {kept} of {run.plan.shown_images(run.cursor.epoch)} samples in epoch {run.cursor.epoch + 1}, "
        f"too few to train on ({settings}); the last checkpoint is kept; loosen the selection, or train fewer epochs"
    )
