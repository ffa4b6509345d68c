"""Advice on a data path: which one change would speed training up most, by how much, from the costs of its parts.

A chain is as fast as its slowest link. Loader processes decode beside training; on a processor both share the cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fewer.core.text import command
from fewer.machine.loading import Loading
from fewer.plan.plan import Plan
from fewer.plan.stores import store_side_px
from fewer.session.data_costs import Costs

WORTH = 1.05  # a change that gains less is not named
_WORTH_ANOTHER_BATCH = 1.2  # nor is another batch size, with which a model learns otherwise
_SHARE_OF_MEMORY = 0.5  # of what is free, that images may take where the user is told that they fit


@dataclass(frozen=True)
class Path:
    """A way for images to come, at one batch size.

    Attributes:
        loading: Where they come from.
        stored: They are read from an uncompressed store.
        batch_size: Of the step; None: that of the stage.
    """

    loading: Loading
    stored: bool = False
    batch_size: int | None = None


@dataclass(frozen=True)
class Change:
    """One change, and what it would bring.

    Attributes:
        name: "processes", "store", "memory", "batch_size" or "threads".
        how: What to do.
        path: What the data path would then be.
        threads: Of training; 0: as many as now.
        gain: Times as many images a second, over the whole run.
        changes_result: Whether the model would come out otherwise.
    """

    name: str
    how: str
    path: Path
    gain: float
    changes_result: bool
    threads: int = 0


def spare_threads(plan: Plan) -> int:
    """Threads of training that leave a core to each loader process; 0 where there is nothing to change.

    Threads that wait for one that has no core stand still with it: how much that costs is measured, not predicted.
    """
    machine, loading = plan.facts.machine, plan.loading
    threads = max(1, machine.cores // machine.processes - loading.processes)
    return threads if machine.device == "cpu" and loading.processes and threads < machine.threads else 0


def images_per_second(costs: Costs, path: Path, plan: Plan) -> float:
    """What the parts allow: the slowest of loading, training, and the cores that both share.

    Args:
        costs: Of a stage.
        path: How its images come.
        plan: Its machine.
    """
    machine, loading = plan.facts.machine, path.loading
    cores = max(1.0, machine.cores / machine.processes)
    step = costs.step if path.batch_size is None else costs.step_of.get(path.batch_size, costs.step)
    batch, on_cpu = costs.copy + costs.augment + costs.collate, machine.device == "cpu"
    threads = min(machine.threads, cores)
    if loading.in_memory or not loading.processes:
        return 1 / (_between_steps(costs, path, plan) + batch + step)
    decode = costs.from_store if path.stored else costs.decode
    busy = decode + threads * (batch + (step if on_cpu else 0.0))
    return min(loading.processes / decode, 1 / (batch + step), cores / busy)


def _between_steps(costs: Costs, path: Path, plan: Plan) -> float:
    """Seconds an image of decoding and cutting by the training process itself, in threads and between steps."""
    machine, loading = plan.facts.machine, path.loading
    if loading.in_memory and plan.recipe.augment.crop != "random_resized":
        return 0.0  # squares are there already; whole pictures are cut for every batch
    decode = costs.from_store if path.stored or loading.in_memory else costs.decode
    return decode / min(loading.threads, max(1.0, machine.cores / machine.processes))


def seconds_of(costs: Sequence[Costs], path: Path, plan: Plan) -> float:
    """Seconds of the run's training by this model, over stages; a batch size counts where a stage was timed at it."""
    return sum(
        stage.epochs * stage.data_share * plan.facts.data.train_images / images_per_second(of, path, plan)
        for stage, of in zip(plan.stages, costs, strict=True)
    )


def path_of(plan: Plan) -> Path:
    """The data path of a plan."""
    store = plan.facts.data.store
    return Path(plan.loading, stored=bool(store and store.form == "raw"))


def changes(plan: Plan, costs: Sequence[Costs], recipe: str) -> list[Change]:
    """All changes that could be made, the most useful first.

    Args:
        plan: What would run.
        costs: Of each of its stages.
        recipe: What to call the recipe in commands.
    """
    now = path_of(plan)
    seconds = seconds_of(costs, now, plan)
    found = [
        Change(name, how, path, seconds / seconds_of(costs, path, plan), changes_result)
        for name, how, path, changes_result in _possible(plan, now, costs, recipe)
    ]
    return ranked(found)


def ranked(found: Sequence[Change]) -> list[Change]:
    """Changes, the most useful first."""
    return sorted(found, key=lambda change: -change.gain)


def _possible(plan: Plan, now: Path, costs: Sequence[Costs], recipe: str) -> Iterator[tuple[str, str, Path, bool]]:
    machine, loading = plan.facts.machine, now.loading
    if not loading.in_memory:
        for processes in range(1, min(2 * machine.cores, 16) + 1):
            if processes != loading.processes:
                more = replace(loading, processes=processes, prefetched_batches=2 * processes)
                total = processes * machine.processes
                yield "processes", f"data.processes={total}", replace(now, loading=more), False
        free = machine.available_bytes
        if free is None or plan.loading_bytes * machine.processes <= free * _SHARE_OF_MEMORY:
            kept = replace(loading, in_memory=True, processes=0, prefetched_batches=0)
            yield "memory", 'data.in_memory="yes"', replace(now, loading=kept), False
    if not now.stored and not loading.in_memory:
        side_px = store_side_px(plan.recipe, plan.stages)
        yield "store", command("fewer", "data", "store", recipe, "--side", side_px), replace(now, stored=True), True
    if len(costs) == 1:
        for size in costs[0].step_of:
            yield "batch_size", f"train.batch_size={size}", replace(now, batch_size=size), True


def best_of(found: Sequence[Change]) -> Change | None:
    """The change to name: the one with the largest gain, if it is worth it; of equals, one that keeps the result."""
    least = {"batch_size": _WORTH_ANOTHER_BATCH}
    worth = [change for change in found if change.gain >= least.get(change.name, WORTH)]
    if not worth:
        return None
    close = [change for change in worth if change.gain >= 0.97 * worth[0].gain]
    return min(close, key=lambda change: (change.changes_result, change.path.loading.processes, -change.gain))


def limit_of(costs: Costs, path: Path, plan: Plan) -> str:
    """Which link is the slowest: "decode", "cores" or "train"."""
    batch = costs.copy + costs.augment + costs.collate
    if path.loading.in_memory or not path.loading.processes:  # they take turns in one process: the longer one counts
        return "decode" if _between_steps(costs, path, plan) > batch + costs.step else "train"
    rate = images_per_second(costs, path, plan)
    decode = costs.from_store if path.stored else costs.decode
    if rate >= 0.999 * path.loading.processes / decode:
        return "decode"
    return "train" if rate >= 0.999 / (batch + costs.step) else "cores"
