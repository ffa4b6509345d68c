"""`fewer advise`: what a step of a recipe takes with each sync method on a network, and which one to take."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from fewer.core.errors import RecipeError
from fewer.core.protocols import Comm
from fewer.machine.determinism import deterministic
from fewer.plan.plan import Plan
from fewer.recipe.schema import Recipe
from fewer.session.build import make_plan, open_data
from fewer.session.probe import Probe, probe
from fewer.sync.network import Network, measured
from fewer.sync.step_time import Added, StepTime
from fewer.tune.advice import advice
from fewer.tune.rehearsal import Stand, Steps
from fewer.tune.sync_forms import Form, Offer, offers

LOCAL_STEPS = (4, 16, 64)
_SLOW_SECONDS = 0.5  # of forward and backward, above which a part of a worker's share is timed


@dataclass(frozen=True)
class Wish:
    """What is to be compared.

    Attributes:
        network: The network, where it is given rather than measured.
        workers: How many, where the network is given.
        local_steps: Lengths of rounds of local methods.
        seconds: For how long each method is rehearsed.
    """

    network: Network | None = None
    workers: int | None = None
    local_steps: Sequence[int] = LOCAL_STEPS
    seconds: float = 1.0


def advise(recipe: Recipe, wish: Wish, comm: Comm, note: Callable[[str], None] = print) -> dict[str, Any]:
    """Rehearses each sync method in the stage that takes longest; every process must call it.

    Args:
        recipe: What would run.
        wish: What is to be compared.
        comm: The exchange between processes; one process alone needs a network that is given.
        note: Told what goes on, in words.

    Returns:
        The document that `--json` prints.

    Raises:
        RecipeError: There are no processes, and no network and number of workers instead of them; or the recipe does
            not fit them.
        DataError, ResourceError: As in training.
    """
    workers = _workers(recipe, wish, comm)
    splits = open_data(recipe)
    plan = make_plan(_alone(recipe), splits, workers)
    stage = max(plan.stages, key=lambda each: plan.stage_costs[each.index].high_flops)
    offered, too_short = offers(plan, wish.local_steps)
    share = -(-stage.batch_size // workers)
    threads = _threads(plan, comm)
    note(f"forward and backward of {share} images of {stage.side_px} px ...")
    probed = probe(_with_threads(plan, threads), replace(stage, batch_size=max(2, share)))
    flops = plan.facts.model.sample_flops(stage.side_px, stage.first_epoch, stage.frozen_layers).training
    image_seconds = _most(comm, [probed.seconds_per_flop * flops])[0]
    timed = min(share, max(2, int(_SLOW_SECONDS / image_seconds)))
    if wish.network is None:
        note(f"all-reduces of two sizes among {workers} processes ...")
    network = wish.network or measured(comm, 4 * plan.facts.model.parameters, plan.facts.machine.device)
    with deterministic(recipe.train.deterministic):
        stand = Stand(recipe, plan, replace(stage, batch_size=timed * workers), comm.rank, threads)
        try:
            found, refused = _rehearsed(stand, offered, wish, network, share / timed, comm, note)
        finally:
            stand.close()
    times = _times(found, share / timed, comm)
    batches = len(plan.batch_sizes(plan.facts.data.train_images, stage.first_epoch))
    rows = _rows(found, times, plan, batches)
    document: dict[str, Any] = {
        "schema": 1,
        "source": recipe.data.source,
        "model": recipe.model.name,
        "parameters": plan.facts.model.parameters,
        "workers": workers,
        "network": {**asdict(network), "measured": wish.network is None},
        "stage": {"number": stage.index + 1, "side_px": stage.side_px, "batch_size": stage.batch_size},
        "images_a_worker": share,
        "timed_images": timed,
        "batches": batches,
        "compute": _compute(times, probed, image_seconds * share),
        "methods": rows,
        "refused": {**too_short, **refused},
    }
    return {**document, **advice(document)}


def _workers(recipe: Recipe, wish: Wish, comm: Comm) -> int:
    """How many workers there are.

    Raises:
        RecipeError: That is not said, or said twice.
    """
    if comm.world_size > 1:
        if wish.workers not in (None, comm.world_size):
            raise RecipeError(
                f"--workers {wish.workers}: {comm.world_size} processes were started; leave --workers out"
            )
        return comm.world_size
    if wish.network is None:
        raise RecipeError(
            "one process has no network to measure: give --devices N, start it on several machines with torchrun, "
            "or give the network's numbers, such as --bandwidth 1Gbit --latency 1ms --workers 4"
        )
    workers = wish.workers or recipe.sync.workers
    if workers is None:
        raise RecipeError("--bandwidth needs --workers, the machines on that network; for example --workers 4")
    if workers < 2:
        raise RecipeError(f"--workers {workers}: allowed are 2 or more; for example --workers 4")
    return workers


def _alone(recipe: Recipe) -> Recipe:
    """The recipe with one worker a process."""
    return recipe.model_copy(update={"sync": recipe.sync.model_copy(update={"workers": None})})


def _threads(plan: Plan, comm: Comm) -> int:
    """Threads of a worker: those of a process that was started, or of a machine that it has for itself."""
    return plan.facts.machine.threads if comm.world_size > 1 else max(1, torch.get_num_threads())


def _with_threads(plan: Plan, threads: int) -> Plan:
    return replace(plan, facts=replace(plan.facts, machine=replace(plan.facts.machine, threads=threads)))


def _rehearsed(
    stand: Stand,
    offered: Sequence[Offer],
    wish: Wish,
    network: Network,
    pace: float,
    comm: Comm,
    note: Callable[[str], None],
) -> tuple[list[tuple[Offer, Steps]], dict[str, str]]:
    """What each form of each method showed, and why some cannot be had."""
    found, refused = list[tuple[Offer, Steps]](), dict[str, str]()
    for offer in offered:
        form = offer.form
        name, section = form.called(form.rehearsed_steps), form.rehearsed()
        if reason := stand.refused(section):
            refused[name] = reason
            continue
        note(f"{name} ...")
        _most(comm, [0.0])  # all begin together, so that each has the cores that it would have
        try:
            found.append((offer, stand.steps(section, form.rehearsed_steps, network, wish.seconds, pace)))
        except RecipeError as error:  # some methods see in a step only what they cannot do
            refused[name] = str(error)
    return found, refused


def _times(found: Sequence[tuple[Offer, Steps]], scale: float, comm: Comm) -> list[StepTime]:
    """The time of a step of each form, on the process where that is longest.

    Computing that is the same for several forms is that of all their steps: methods must not differ by what else the
    machine did meanwhile.

    Args:
        found: What each form showed.
        scale: How many times as many images a worker has as were timed.
        comm: The exchange between processes.
    """
    computed = defaultdict[bool, list[float]](list)
    for _, steps in found:
        computed[steps.shares_statistics] += steps.compute_seconds
    compute = {kind: statistics.median(seconds) * scale for kind, seconds in computed.items()}
    mine = [StepTime.of_round(compute[steps.shares_statistics], steps.added) for _, steps in found]
    longest = iter(_most(comm, [seconds for time in mine for seconds in time.own_seconds]))
    return [time.with_own(*(next(longest) for _ in time.own_seconds)) for time in mine]


def _rows(
    found: Sequence[tuple[Offer, Steps]], times: Sequence[StepTime], plan: Plan, batches: int
) -> list[dict[str, Any]]:
    """A row for each form and length of rounds, from what changes training least to what changes it most."""
    plain = next((time for (offer, _), time in zip(found, times, strict=True) if _is_plain(offer.form)), None)
    rows = [
        (
            (not steps.keeps_equal, length, -time.added(length).sent_bytes, offer.form.added_keys),
            {**_row(offer.form, length, time, plain, plan, batches), "keeps_equal": steps.keeps_equal},
        )
        for (offer, steps), time in zip(found, times, strict=True)
        for length in offer.lengths
    ]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _is_plain(form: Form) -> bool:
    """Whether it exchanges gradients as they are at every step."""
    return form.method == "every_step" and form.is_default


def _row(
    form: Form, local_steps: int, time: StepTime, plain: StepTime | None, plan: Plan, batches: int
) -> dict[str, Any]:
    """What a step adds and takes, in the mean over the run; of one whose first steps nobody knows, behind these."""
    run_steps = round(plan.predicted["optimizer_steps"][1])
    first = form.first_steps(run_steps, plan.epochs) if plain else None
    share = min(1.0, first / run_steps) if first else 0.0
    added, seconds = time.added(local_steps), time.seconds(local_steps)
    later = {"step_seconds": seconds, "sent_bytes": added.sent_bytes}
    if plain and share:
        added = Added().plus(plain.added(), share).plus(added, 1 - share)
        seconds = share * plain.seconds() + (1 - share) * seconds
    return {
        "name": form.called(local_steps),
        "sync": form.keys(local_steps),
        "local_steps": local_steps,
        "first_steps": first if form.early else 0,
        "run_steps": run_steps,
        "later": later,
        "step_seconds": seconds,
        "epoch_seconds": seconds * batches,
        "epoch_bytes": added.sent_bytes * batches,
        **asdict(added),
    }


def _compute(times: Sequence[StepTime], probed: Probe, passes_seconds: float) -> dict[str, float]:
    """Seconds of a worker's step that every method takes, by parts."""
    whole = min(time.compute_seconds for time in times)
    forward = probed.forward_share * passes_seconds
    return {
        "forward": forward,
        "backward": passes_seconds - forward,
        "rest": max(0.0, whole - passes_seconds),
        "step": whole,
    }


def _most(comm: Comm, values: Sequence[float]) -> list[float]:
    """The largest of each number over all processes, which all wait for each other here."""
    rows: list[float] = comm.gather(torch.tensor([list(values)], dtype=torch.float64)).amax(0).tolist()
    return rows
