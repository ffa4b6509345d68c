"""Sentences on the workers of a run: which parts of a batch they get, and the method by which they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewer.core.spending import seconds_of
from fewer.plan.facts import Facts, workers_of
from fewer.sync.local_params import LocalParams
from fewer.sync.methods import SYNC_METHODS

if TYPE_CHECKING:
    from fewer.core.types import Stage
    from fewer.recipe.schema import Recipe


def sharing_note(recipe: Recipe, facts: Facts, stages: Sequence[Stage]) -> str:
    """Each worker's part of a batch and the method by which all agree; empty where one worker has the whole."""
    sync, workers = recipe.sync, workers_of(recipe, facts.machine)
    if workers == 1:
        if not isinstance(sync, LocalParams):
            return ""
        return (
            f'sync.method = "{sync.method}" has one worker, which agrees with nobody; sync.workers = 4 simulates four, '
            "--devices 2 starts two"
        )
    sizes = dict.fromkeys(stage.batch_size for stage in stages)
    parts = ", ".join(f"{size:,} images make {_part(size, workers)} each" for size in sizes)
    agreed = f"they agree by {sync.method}"
    if isinstance(sync, LocalParams):
        agreed += f", the first time after {sync.every_steps} steps"
        agreed += "" if sync.payload == "full" else f", and send {sync.payload}"
    return f"batches are shared by {workers} workers: {parts}; {agreed}"


def _part(size: int, workers: int) -> str:
    """A worker's part of a batch: `16`, or `21 to 22` where it cannot be shared evenly."""
    least, rest = divmod(size, workers)
    return f"{least} to {least + 1}" if rest else str(least)


def too_few_steps(recipe: Recipe, facts: Facts, steps: float, epochs: int) -> str:
    """A warning where the run ends before its sync method does what it is there for; else nothing.

    Args:
        recipe: What the user asked.
        facts: What is known of data, model and machine.
        steps: The most optimizer steps of the run.
        epochs: Its epochs.
    """
    sync = recipe.sync
    if workers_of(recipe, facts.machine) == 1 or seconds_of(recipe.train.budget) is not None:
        return ""  # of a budget of time nobody knows the steps
    method = SYNC_METHODS.module(sync.method)
    run = f"the run has at most {steps:,.0f} step{'' if steps == 1 else 's'}"
    first = method.first_steps(sync, steps, epochs) if hasattr(method, "first_steps") else 0
    if first is not None and first >= steps:
        key = next(iter(method.REHEARSED))
        return (
            f"warning: sync.{key} = {getattr(sync, key)}: {run}, and all exchange gradients as they are, so "
            f'"{sync.method}" saves nothing; begin earlier, e.g. sync.{key}={method.REHEARSED[key]}'
        )
    left = steps - (first or 0)
    if not isinstance(sync, LocalParams) or sync.every_steps < max(2, left):
        return ""
    behind = f", {left:,.0f} of them behind sync.switch" if first else ""
    text = f"warning: sync.every_steps = {sync.every_steps}: {run}{behind}, so workers agree only at its end"
    return f"{text}; use sync.every_steps={max(1, int(left) // 4)} or fewer"
