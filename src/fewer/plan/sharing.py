"""A sentence on the workers of a run: which parts of a batch they get, and the method by which they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewer.plan.facts import Facts, workers_of
from fewer.sync.local_params import LocalParams

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
