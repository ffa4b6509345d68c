"""Trials of a search, as its study records them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fewer.core.evaluation import Metric
from fewer.tune.search.pruning import Curve

Outcome = Literal["done", "pruned", "diverged", "failed", "begun"]


@dataclass(frozen=True)
class Trial:
    """One set of values, and what became of it.

    Attributes:
        number: Its number in the study, from 0.
        outcome: `done`, ended early as `pruned` or `diverged`, `failed` with an error, or `begun` and not over.
        values: The searched keys, as `key=value` takes them.
        value: The deciding metric on validation images: of the published model where it is done, else the last one.
        curve: Full-epoch equivalents, and the metric, of each validation.
        full_epoch_equivalents: The cost, in plain epochs of the recipe without a search; 0 where nothing was trained.
        shared_full_epoch_equivalents: Those of them that an earlier run had left in the cache, such as a proxy of all
            trials: the search did not pay them.
        seconds: The time, as the run's ledger has it.
        epoch: The epoch of the published model, from 0.
        interval: What other images could have given, where the metric is a share of images.
        folder: Its run folder, below that of the search.
        machine: The host that trained it.
        message: Why it failed, or which trial it repeats.
    """

    number: int
    outcome: Outcome
    values: Mapping[str, str]
    value: float | None = None
    curve: Curve = ()
    full_epoch_equivalents: float = 0.0
    shared_full_epoch_equivalents: float = 0.0
    seconds: float = 0.0
    epoch: int | None = None
    interval: tuple[float, float] | None = None
    folder: str = ""
    machine: str = ""
    message: str = ""


def spent_on(trials: Sequence[Trial]) -> float:
    """Full-epoch equivalents that a search has paid for its trials: what they share counts where it was computed."""
    return sum(trial.full_epoch_equivalents - trial.shared_full_epoch_equivalents for trial in trials)


def best_of(trials: Sequence[Trial], metric: Metric) -> Trial | None:
    """The best trial that is done; of equal ones the cheapest that was trained, then the first."""
    done = [trial for trial in trials if trial.outcome == "done" and trial.value is not None]
    return min(
        done,
        key=lambda trial: (-metric.sign * (trial.value or 0.0), *_cost(trial.full_epoch_equivalents), trial.number),
        default=None,
    )


def _cost(full_epoch_equivalents: float) -> tuple[bool, float]:
    """A cost to sort by. A trial that repeats another's values costs nothing and has no run, so it comes last."""
    return not full_epoch_equivalents, full_epoch_equivalents


def trial_of(found: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """A trial of the content of `tune.json`, by its number."""
    trial: Mapping[str, Any] = next(each for each in found["trials"] if each["number"] == number)
    return trial


def ranked(found: Mapping[str, Any], metric: Metric) -> list[Mapping[str, Any]]:
    """The trials of the content of `tune.json`: those that are done, best first; then the others, as they came."""
    trials: list[Mapping[str, Any]] = found["trials"]
    done = [trial for trial in trials if trial["outcome"] == "done"]
    done.sort(
        key=lambda trial: (-metric.sign * trial["value"], *_cost(trial["full_epoch_equivalents"]), trial["number"])
    )
    return [*done, *(trial for trial in trials if trial["outcome"] != "done")]
