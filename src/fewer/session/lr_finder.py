"""The learning-rate finder: three short sweeps, the rate that they recommend, and its way into a run.

It leaves a run as it was, but for the entries in its ledger. What it found is kept in the user's cache folder; a run
whose rate comes from there books the operations that finding it took, so that neither what a run learns nor what it
says that it cost depends on a cache (docs/adr/0058-learning-rate-finder.md).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fewer.core.clock import Cursor
from fewer.core.errors import DivergedError, RecipeError
from fewer.core.ledger import EXACT, LOCAL
from fewer.core.types import Stage
from fewer.optim.lr_curve import NoRate, Reading, read
from fewer.plan.lr_finder import REPEATS, STEPS, Range, range_of, too_few_images
from fewer.session import lr_cache
from fewer.session.build import Session, build_optimizer
from fewer.session.epoch_metrics import costs
from fewer.session.lr_sweep import StopRequested, Sweep, kept_random_streams, sweep
from fewer.training.run import Run

Note = Callable[[str], None]

_KEY = "train.lr"  # of the amendment that keeps a found rate


@dataclass(frozen=True)
class Found:
    """What a finder found for a stage.

    Attributes:
        lr: The recommended rate of the stage's steps: the geometric mean of what the sweeps say, to two digits.
        low, high: The smallest and the largest of what they say.
        stage: For which stage.
        rates: What was tried.
        sweeps: The sweeps.
        readings: What each says; None where it says nothing.
        seconds: What it took, at the time.
        cached: It was found earlier.
    """

    lr: float
    low: float
    high: float
    stage: Stage
    rates: Range
    sweeps: tuple[Sweep, ...]
    readings: tuple[Reading | None, ...]
    seconds: float
    cached: bool = False

    @property
    def peak_lr(self) -> float:
        """The `train.lr` that gives the stage this rate."""
        return _two_digits(self.lr / self.stage.lr_scale)

    @property
    def is_at_end(self) -> bool:
        """In most sweeps the loss still falls at the largest rate: a larger one may be better."""
        return 2 * sum(reading.at_end for reading in self.readings if reading) > len(self.readings)

    def counts(self, names: tuple[str, ...]) -> dict[str, int]:
        """Entries of the ledger over all sweeps."""
        return {name: sum(each.counts[name] for each in self.sweeps) for name in names}

    def in_words(self) -> str:
        """The rate and its interval."""
        return f"{self.lr:g} ({self.low:.2g} to {self.high:.2g})"


def find(session: Session, stage: Stage, steps: int = STEPS, repeats: int = REPEATS, uses_cache: bool = True) -> Found:
    """Finds the learning rate of a stage; neither the session's run nor its ledger is touched.

    Every process of the run must call it; all find the same.

    Args:
        session: A run before its first batch, with whose weights sweeps begin.
        stage: One of its stages.
        steps: Steps of a sweep.
        repeats: Sweeps, each on images and in an order of its own.
        uses_cache: Whether what was found earlier will do; what is found is kept in any case.

    Raises:
        RecipeError: There are too few images, or the loss falls at no rate.
        DivergedError: The loss is not finite even at the smallest rates.
        StopRequested: A stop was requested meanwhile.
    """
    if problem := too_few_images(session.plan.facts, stage):
        raise RecipeError(problem)
    rates, began = range_of(session.plan.recipe, session.plan.facts, steps), time.monotonic()
    key = lr_cache.key_of(session, stage, rates, repeats)
    keeps = session.plan.recipe.data.cache == "auto"
    if uses_cache and keeps and (content := lr_cache.read(key, session.run.comm)):
        return _read(content, stage, rates, cached=True)
    with kept_random_streams():
        sweeps = tuple(sweep(session, stage, rates, repeat) for repeat in range(repeats))
    content = {"sweeps": [lr_cache.content_of(each) for each in sweeps], "seconds": time.monotonic() - began}
    found = _read(content, stage, rates, cached=False)
    if keeps and session.run.comm.rank == 0:
        lr_cache.write(key, content)
    return found


def _read(content: dict[str, Any], stage: Stage, rates: Range, cached: bool) -> Found:
    """What sweeps say together."""
    sweeps = tuple(lr_cache.sweep_of(each) for each in content["sweeps"])
    readings, reasons = list[Reading | None](), list[str]()
    for each in sweeps:
        try:
            readings.append(_reading(each, rates))
        except NoRate as reason:
            readings.append(None)
            reasons.append(str(reason))
    said = [reading.lr for reading in readings if reading]
    if 2 * len(said) <= len(sweeps):
        raise RecipeError(
            f"no learning rate found between {rates.low:g} and {rates.high:g}: {reasons[0]}; give train.lr a number"
        )
    lr = _two_digits(statistics.geometric_mean(said))
    return Found(lr, min(said), max(said), stage, rates, sweeps, tuple(readings), content["seconds"], cached)


def _reading(each: Sweep, rates: Range) -> Reading:
    if len(each.rates) < 3:
        raise DivergedError(
            f"the loss is not finite within {each.steps} steps at learning rates from {rates.low:g} up, the smallest "
            'that are tried: check the first weights and data.normalize, or set train.precision = "fp32"'
        )
    return read(each.rates, each.losses)


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")


# --- In a run -----------------------------------------------------------------------------------------------------


def find_lr(
    session: Session, note: Note = lambda text: None, record: Callable[[dict[str, Any]], None] = lambda row: None
) -> bool:
    """Gives a run with `train.lr = "auto"` its learning rate: found before its first step, kept from then on.

    `fit` calls this; a loop of one's own over `fewer.train` does so before its first batch, also after it has loaded a
    checkpoint.

    Args:
        session: The run; its ledger books what finding takes, under its first stage.
        note: Told what came out, in words.
        record: Told what came out, as a row.

    Returns:
        False where a stop was requested meanwhile: no rate is set, and the run must not go on.

    Raises:
        RecipeError, DivergedError: As for `find`.
    """
    plan, run = session.plan, session.run
    if plan.lr is not None:
        return True
    if _KEY not in run.amendments:
        if run.cursor != Cursor():
            raise RecipeError('train.lr = "auto": the checkpoint holds no rate; start a new run with `fewer train`')
        try:
            with run.ledger.phase("train"):
                found = find(session, plan.stages[0])
        except StopRequested:
            return False
        run.ledger.book(0, **found.counts(EXACT), **({} if found.cached else found.counts(LOCAL)))
        run.ledger.shared_flops += found.counts(("flops",))["flops"] * found.cached
        _tell(session, found, note, record)
    _settle(session, float(run.amendments[_KEY]["new"]))
    return True


def found_in_toml(run: Run) -> str:
    """The rate that was found, as a comment of a recipe, which loads as it would without it."""
    if not (change := run.amendments.get(_KEY)):
        return ""
    return f'\n# [train] lr = "auto" became lr = {change["new"]}: {change["reason"]}\n'


def _tell(session: Session, found: Found, note: Note, record: Callable[[dict[str, Any]], None]) -> None:
    """Makes the rate an amendment of the plan, says so and records it."""
    run, plan = session.run, session.plan
    flops = found.counts(("flops",))["flops"]
    took = f"{flops / plan.plain_epoch_flops:.2f} FEE" + ("" if found.cached else f", {found.seconds:.0f} s")
    where = "found earlier, from the cache" if found.cached else "found"
    interval = f"{found.low / found.stage.lr_scale:.2g} to {found.high / found.stage.lr_scale:.2g}"
    run.amendments[_KEY] = {
        "old": "auto",
        "new": repr(found.peak_lr),
        "reason": f"{len(found.sweeps)} sweeps say {interval}",
    }
    note(f"train.lr = {found.peak_lr:g}, {where}: {len(found.sweeps)} sweeps say {interval}; {took}")
    place = {**run.cursor.state_dict(), "lr": found.peak_lr, "low": found.low, "high": found.high}
    record({"kind": "lr_find", **place, "cached": found.cached, "flops": flops, **costs(run.ledger)})


def _settle(session: Session, lr: float) -> None:
    """Gives plan and optimizers their rate, for which 1 has stood until now."""
    run = session.run
    text = f"train.lr = {lr:g}, found: {run.amendments[_KEY]['reason']}"
    notes = [text if note.startswith('train.lr = "auto"') else note for note in run.plan.notes]
    run.plan = replace(run.plan, found_lr=lr, notes=tuple(notes))
    for worker in run.workers:
        fresh = build_optimizer(run.plan, worker.model)  # its rates are those of a run that was given the number
        for group, settled in zip(worker.optimizer.param_groups, fresh.param_groups, strict=True):
            group |= {name: settled[name] for name in ("base_lr", "lr")}
