"""The transition into an epoch: the only place where models, forwards and rates take a new stage's shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fewer.core.protocols import Task
from fewer.core.types import Forward, Stage
from fewer.models.batchnorm import freeze_statistics
from fewer.models.freezing import set_trained
from fewer.training.batches import forward_sizes
from fewer.training.run import Run

if TYPE_CHECKING:
    from torch import nn


def enter_epoch(task: Task, run: Run, stage: Stage) -> None:
    """Brings ledger and models into an epoch's shape; idempotent, done at the start of each epoch and after a resume.

    Train mode comes first, then what the stage and the model freeze, then the task's own preparation, then the
    statistics of frozen norms: nothing thaws what one of them has frozen.
    """
    _ = run.plan.peak_lr  # raises where it is still to be found
    run.ledger.enter(stage.index)
    for worker in run.workers:
        worker.update_norms = None
    shape_models(task, run, stage, run.cursor.epoch)


def shape_models(task: Task, run: Run, stage: Stage, epoch: int) -> None:
    """Brings the models alone into an epoch's shape."""
    for worker in run.workers:
        worker.model.train()
        held = (parameter for group in worker.optimizer.param_groups for parameter in group["params"])
        set_trained(worker.model, held, epoch, run.plan.frozen(stage))
        task.prepare(worker.model, stage, epoch)
        freeze_statistics(worker.model)


def forwards(run: Run, stage: Stage) -> list[Forward]:
    """Each local worker's training forward, once the epoch's batches are known; the model itself stays bare."""
    if run.compiler is None:
        return [worker.model for worker in run.workers]
    sizes = forward_sizes(run)
    return [run.compiler.forward(worker.model, stage, sizes) for worker in run.workers]


def lr_factor(run: Run, stage: Stage, progress: float) -> float:
    """The learning rate of a moment as a share of `train.lr`: schedule, stage and the epoch's selection together."""
    assert run.selection.order is not None
    return run.plan.lr_factor(progress, stage) * run.selection.order.lr_scale


@contextmanager
def mode(model: nn.Module, training: bool, keeps_statistics: bool = False) -> Iterator[None]:
    """Train or eval mode for a while; afterwards each module has its own mode back, frozen norms theirs.

    Args:
        model: The model.
        training: Which of the two.
        keeps_statistics: In train mode, BatchNorm normalises by its running statistics, which stay as they are.
    """
    before = {module: module.training for module in model.modules()}
    model.train(training)
    if training:
        freeze_statistics(model, all_layers=keeps_statistics)
    try:
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training
