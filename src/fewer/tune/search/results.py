"""Results of a search: one document, a table of its trials, and the best recipe."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewer.core.errors import printable
from fewer.core.evaluation import Metric
from fewer.runs.record import publish, write_json, write_table
from fewer.tune.search.page import search_page
from fewer.tune.search.space import Space
from fewer.tune.search.trials import Trial, best_of, spent_on, trial_of

SCHEMA = 1
DOCUMENT, BEST, TABLE, PAGE = "tune.json", "best.toml", "trials.csv", "tune.html"
FILES = (DOCUMENT, BEST, TABLE, PAGE)


@dataclass(frozen=True)
class Searched:
    """What was searched, and how.

    Attributes:
        recipe: Name of the recipe.
        study, storage: The study's name, and where it is kept.
        metric: The deciding metric, such as `val/top1`.
        task: The task's name and metrics, as `fewer.tasks.description` gives them.
        images: Validation images, which decide.
        epochs: Of the recipe without a search.
        run_full_epoch_equivalents: What one such run is predicted to cost.
        space: Keys and their values, as they were written.
        sampler, seed: How values were chosen.
        prunes: Whether trials were ended early.
        asked: How many trials there will be.
    """

    recipe: str
    study: str
    storage: str
    metric: str
    task: Mapping[str, Any]
    images: int
    epochs: int
    run_full_epoch_equivalents: float
    space: Mapping[str, str]
    sampler: str
    seed: int
    prunes: bool
    asked: int


def document(searched: Searched, metric: Metric, trials: Sequence[Trial]) -> dict[str, Any]:
    """The content of `tune.json`: the cost of the whole search is part of it."""
    best = best_of(trials, metric)
    spent = spent_on(trials)
    return {
        "schema": SCHEMA,
        **asdict(searched),
        "best": best and best.number,
        "outcomes": dict(Counter(trial.outcome for trial in trials)),
        "full_epoch_equivalents": spent,
        "seconds": sum(trial.seconds for trial in trials),
        "runs": spent / searched.run_full_epoch_equivalents,
        "trials": [_plain(trial) for trial in trials],
    }


def _plain(trial: Trial) -> dict[str, Any]:
    """A trial as JSON gives it back."""
    interval = None if trial.interval is None else list(trial.interval)
    return {**asdict(trial), "values": dict(trial.values), "curve": list(map(list, trial.curve)), "interval": interval}


def write(found: dict[str, Any], space: Space, out: Path) -> None:
    """Writes all files; a reader sees the old or the new one, never half of it.

    Args:
        found: The content of `tune.json`.
        space: What was searched, for the best recipe.
        out: Folder of the search.
    """
    write_json(out / DOCUMENT, found)
    keys = list(found["space"])
    columns = (
        "trial",
        "outcome",
        *keys,
        found["metric"],
        "epoch",
        "full_epoch_equivalents",
        "seconds",
        "folder",
        "message",
    )
    write_table(out / TABLE, columns, (_row(trial, found["metric"]) for trial in found["trials"]))
    publish(out / PAGE, search_page(found))
    if found["best"] is not None:
        publish(out / BEST, best_recipe(found, space))


def _row(trial: Mapping[str, Any], metric: str) -> dict[str, Any]:
    return {**trial, "trial": trial["number"], metric: trial["value"], **trial["values"]}


def best_recipe(found: Mapping[str, Any], space: Space) -> str:
    """The best trial's recipe: what the user wrote, with the values found; comments say where it comes from."""
    import tomli_w

    best = trial_of(found, found["best"])
    known = space.metric.text(best["value"])
    if best["interval"]:
        low, high = (space.metric.text(end, digits=1) for end in best["interval"])
        known += f" ({low} to {high} by {found['images']:,} images)"
    head = [
        f"{found['recipe']} with the values of trial {best['number']} of study {found['study']}, fewer tune",
        f"{found['metric']} {known}: the best of {len(found['trials'])} trials by the images that chose it",
        f"The search took {found['full_epoch_equivalents']:.4g} FEE, {found['runs']:.3g} runs of this recipe",
        *(f"{key} = {best['values'][key]}, of {text}" for key, text in found["space"].items()),
    ]
    text = io.StringIO()
    text.writelines(f"# {printable(line)}\n" for line in head)
    return f"{text.getvalue()}\n{tomli_w.dumps(space.content(best['values']))}"
