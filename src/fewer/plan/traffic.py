"""The traffic of a step between processes: gradients, and the batch statistics that BatchNorm layers share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from fewer.plan.facts import Facts, workers_of
from fewer.recipe.schema import Recipe
from fewer.sync.local_params import LocalParams
from fewer.sync.methods import SYNC_METHODS
from fewer.sync.payloads import PAYLOADS

_STATISTICS_BYTES = 8  # of a number: sums are exchanged as float64


class Traffic(NamedTuple):
    """What each process sends in a step.

    Attributes:
        what: What it is.
        bytes_sent: For a ring: 2 (P - 1) / P of the tensors that are summed.
        exchanges: How many of these there are.
    """

    what: str
    bytes_sent: int
    exchanges: int


class RoundTraffic(NamedTuple):
    """What each worker of a local method sends.

    Attributes:
        workers: How many there are.
        every_steps: Steps of a round, or of the first ones where a schedule changes it.
        bytes_sent: Of one sync.
        syncs: How many the run has; None where that depends on how it goes.
    """

    workers: int
    every_steps: int
    bytes_sent: int
    syncs: int | None


def round_traffic(recipe: Recipe, facts: Facts, steps: float) -> RoundTraffic | None:
    """What each worker of a local method sends, in a run of so many steps at most; None for other methods."""
    sync, workers = recipe.sync, workers_of(recipe, facts.machine)
    if not isinstance(sync, LocalParams) or workers == 1:
        return None
    sent = PAYLOADS.module(sync.payload).sent_bytes(sync, facts.model.parameters, workers, _weight_bytes(recipe))
    is_known = sync.schedule == "fixed" and not hasattr(sync, "switch")
    return RoundTraffic(
        workers, sync.every_steps, round(sent), math.ceil(steps / sync.every_steps) if is_known else None
    )


def _weight_bytes(recipe: Recipe) -> int:
    return 8 if recipe.train.precision == "fp64" else 4


def shares_statistics(recipe: Recipe, facts: Facts) -> bool:
    """Whether BatchNorm normalises by the samples of all processes."""
    if facts.machine.processes == 1 or not facts.model.batchnorm_channels or recipe.sync.batchnorm == "local":
        return False
    return recipe.sync.batchnorm == "sync" or not _obstacle(recipe, facts)


def statistics_problems(recipe: Recipe, facts: Facts) -> list[str]:
    """Why batch statistics cannot be shared, where that is asked for."""
    obstacle = _obstacle(recipe, facts)
    if recipe.sync.batchnorm != "sync" or not obstacle:
        return []
    return [f'sync.batchnorm = "sync": {obstacle}; set sync.batchnorm = "local", or leave it out']


def step_traffic(recipe: Recipe, facts: Facts) -> Iterator[Traffic]:
    """What each process sends in a step of one micro-batch with nothing frozen; nothing where there is one process."""
    processes = facts.machine.processes
    if processes == 1:
        return
    share = 2 * (processes - 1) / processes
    method, weight_bytes = SYNC_METHODS.module(recipe.sync.method), _weight_bytes(recipe)
    if hasattr(method, "step_traffic"):
        sent, exchanges = method.step_traffic(recipe.sync, facts.model.shapes, weight_bytes)
        yield Traffic("gradients", round(share * sent), exchanges)
    if shares_statistics(recipe, facts):
        channels = facts.model.batchnorm_channels
        numbers = sum(2 * each + 1 + 2 * each for each in channels)
        yield Traffic("batch statistics", round(share * numbers * _STATISTICS_BYTES), 2 * len(channels))


def _obstacle(recipe: Recipe, facts: Facts) -> str:
    """Why workers cannot share batch statistics; nothing where they can."""
    workers, processes = workers_of(recipe, facts.machine), facts.machine.processes
    if workers > processes:
        how = f"sync.workers = {workers} on {processes} process{'' if processes == 1 else 'es'} are simulated"
        return f"{how} one after another, and none can wait for what the next one will see"
    if not getattr(SYNC_METHODS.module(recipe.sync.method), "EVERY_STEP", False):
        return f'with sync.method = "{recipe.sync.method}" workers go their own ways between exchanges'
    return ""
