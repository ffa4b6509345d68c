"""A sweep of learning rates: the recipe's own training from the run's weights, with a rate that grows every step.

A sweep is a run of its own by the ordinary loop: a model, an optimizer, a scaler and averages that are thrown away, on
requests to loaders that keep no state. The run that it is for is never touched, so nothing has to be put back into it;
torch's, numpy's and Python's global random streams are.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from fewer import optim, select
from fewer.core import rng
from fewer.core.allocation import batch_sizes
from fewer.core.clock import Duration
from fewer.core.errors import DivergedError
from fewer.core.ledger import EXACT, LOCAL
from fewer.core.types import Stage
from fewer.optim.average import Setting
from fewer.optim.lr_curve import has_run_away
from fewer.plan.compile import compile_plan
from fewer.plan.facts import Facts
from fewer.plan.lr_finder import FEWEST_STEPS, Range, sweep_images
from fewer.plan.plan import Plan
from fewer.recipe.schema import StageRecipe
from fewer.session.build import Session, open_run
from fewer.session.selector import selector_of
from fewer.training.loop import train
from fewer.training.run import Run

_MOMENTS = 200  # of a stage's progress, at which its momentum is looked up
_PLAIN_RATES = {
    "lr_scaling": "none", "lr_batch_size": None, "lr_max": None, "schedule_over": "run", "batch_ramp": "off",
}  # fmt: skip


@dataclass(frozen=True)
class SweepPlan(Plan):
    """The plan of a sweep: its learning rate grows by the same factor every step, and its momentum is constant.

    Attributes:
        rates: From where to where, in how many steps.
        constant_momentum: The momentum of the run's schedule where its rate is highest; None: the optimizer's own.
    """

    rates: Range = field(kw_only=True)
    constant_momentum: float | None = None

    def lr_factor(self, progress: float, stage: Stage) -> float:
        """The learning rate at `progress` itself, as a sweep's `train.lr` is 1."""
        batches = len(self.batch_sizes(self.facts.data.train_images, 0))
        return self.rates.at(round(progress * self.epochs * batches))

    def momentum(self, progress: float, stage: Stage) -> float | None:
        return self.constant_momentum


def sweep_plan(plan: Plan, stage: Stage, rates: Range, repeat: int) -> SweepPlan:
    """The plan of a sweep for a stage of a run.

    Args:
        plan: The run's plan.
        stage: One of its stages, whose side, batch size and augmentation the sweep has.
        rates: The rates to try.
        repeat: Which of several sweeps: each draws its own images, in an order of its own.
    """
    recipe, images = plan.recipe, sweep_images(plan.facts, stage, rates.steps)
    epochs = max(1, -(-rates.steps // len(batch_sizes(images, stage.batch_size, images))))
    asked = recipe.stages[stage.index] if recipe.stages else StageRecipe(epochs=epochs)
    own = {
        "epochs": epochs,
        "side_px": stage.side_px,
        "ramp": "off",
        "ramp_px": (),
        "batch_size": stage.batch_size,
        "lr_scale": 1.0,
        "data_share": 1.0,
        "lr_ramp": Duration(0, "ep"),
        "frozen_anyway": True,
    }
    seeds = {"seed": rng.key(recipe.train.seed, "lr-find", repeat) >> 1, "data_seed": None}
    train = {"lr": 1.0, "epochs": epochs, **seeds, "patience": "off", "compile": "no", **_PLAIN_RATES}
    short = recipe.model_copy(
        update={
            "train": recipe.train.model_copy(update=train),
            "select": select.default(),
            "stages": (asked.model_copy(update=own),),
        }
    )
    data = replace(plan.facts.data, train_images=images, class_images=(), val_images=0, test_images=0, notes=())
    model = replace(plan.facts.model, notes=(), frozen_layers=(stage.frozen_layers,))
    compiled = compile_plan(short, Facts(data, model, plan.facts.machine))
    base = {each.name: getattr(compiled, each.name) for each in fields(Plan)}
    return SweepPlan(**base, rates=rates, constant_momentum=_momentum_at_peak(plan, stage))


def _momentum_at_peak(plan: Plan, stage: Stage) -> float | None:
    """The momentum of a stage where its rate is highest; None where it is constant."""
    moments = (stage.first_epoch + stage.epochs * moment / _MOMENTS for moment in range(_MOMENTS + 1))
    peak = max((epochs / plan.scheduled_epochs for epochs in moments), key=lambda at: plan.lr_factor(at, stage))
    return plan.momentum(peak, stage)


@dataclass(frozen=True)
class Sweep:
    """What a sweep showed.

    Attributes:
        rates: Learning rates that steps were taken with, ascending.
        losses: The training loss of the next batch behind each, all finite.
        steps: Steps that were tried.
        skipped: Those of them that float16 skipped.
        diverged: Whether it ended before its last rate.
        counts: Entries of the ledger.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int
    skipped: int
    diverged: bool
    counts: dict[str, int]


class StopRequested(Exception):
    """A stop was requested of some process; no result."""


def sweep(session: Session, stage: Stage, rates: Range, repeat: int) -> Sweep:
    """Trains with growing rates until they end, or the loss runs away.

    A step that float16 skipped was not taken with its rate, and a loss that is not finite is none: neither is a point.

    Args:
        session: The run that a rate is wanted for; only its data, its processes and its plan are used.
        stage: As for `sweep_plan`.
        rates: As for `sweep_plan`.
        repeat: As for `sweep_plan`.

    Raises:
        StopRequested: Of the run itself, on some process.
    """
    run = _open(session, sweep_plan(session.plan, stage, rates, repeat))
    points: list[tuple[float, float]] = []
    steps = skipped = 0
    diverged, before = False, None  # the rate of the last step, unless it was skipped
    try:
        for row in train(session.task, session.train_data, run):
            if row.stop:
                raise StopRequested
            run.stop_requested = session.run.stop_requested
            if before is not None and row.loss is not None:
                points.append((before, row.loss))
            before = row.lr if row.steps else None
            steps, skipped = steps + 1, skipped + (not row.steps)
            diverged = has_run_away([loss for _, loss in points], FEWEST_STEPS)
            if diverged or steps == rates.steps:
                break
    except DivergedError:
        steps, diverged = steps + 1, True
    counts = {name: run.ledger.total(name) for name in EXACT + LOCAL}
    tried, losses = zip(*points, strict=True) if points else ((), ())
    return Sweep(tried, losses, steps, skipped, diverged, counts)


def _open(session: Session, plan: SweepPlan) -> Run:
    """A run for a sweep: it begins with copies of the session's weights, on images of its own choice."""
    split, images = session.splits.train, plan.facts.data.train_images
    if images < len(split):
        mixed_M = split.ids_M[rng.shuffled(split.ids_M, plan.recipe.train.seed, "images")]
        split = split.without(mixed_M[images:].sort().values)
    part = replace(session.splits, train=split, val=None, test=None)
    selector = selector_of(plan.recipe, part)
    run = open_run(plan, part, session.train_data, session.run.comm, selector, time.monotonic())
    for worker, theirs in zip(run.workers, session.run.workers, strict=True):
        worker.model.load_state_dict(theirs.model.state_dict())  # every sweep begins with the same
    run.averages.update(optim.build_averages(plan.recipe.train, run.workers[0].model, _setting(plan)))
    return run


def _setting(plan: SweepPlan) -> Setting:
    return Setting(plan.epochs, plan.facts.data.train_images)


@contextmanager
def kept_random_streams() -> Iterator[None]:
    """Puts the global random streams of torch, numpy and Python back as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    of_numpy, of_python = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)
