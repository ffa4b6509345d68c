"""Probe of how fast this machine trains a model: a few steps on made-up images, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from fewer.core.types import At, Stage
from fewer.machine.memory import resident_bytes
from fewer.machine.precision import weights_dtype
from fewer.models.freezing import set_trained
from fewer.plan.evaluations import validated_stages
from fewer.plan.savings import together
from fewer.session.build import build_model, task_of
from fewer.session.step_bytes import largest_step_bytes

if TYPE_CHECKING:
    from fewer.core.types import Batch
    from fewer.plan.plan import Plan

_STEPS = 20  # at most
_FEWEST_STEPS = 3  # one to warm up and two to time
_ENOUGH_S = 1.0
_STEP_FLOPS = 2e10  # at most: about a second on a slow core
_SHAPES = 6  # kinds of stages that are probed, at most


@dataclass(frozen=True, slots=True)
class Probe:
    """What a few steps of a stage showed.

    Attributes:
        seconds_per_flop: Of forward and backward, the fastest step's.
        slow_seconds_per_flop: That of the step that three quarters of them are faster than.
        forward_share: Share of the forward in the fastest step.
    """

    seconds_per_flop: float
    slow_seconds_per_flop: float
    forward_share: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run will take on this machine.

    Attributes:
        seconds: Least and most, training and evaluation; loading comes on top.
        memory_bytes: Of a process at its largest, with its part of a batch, decoded images included; at most.
        stages: Least and most seconds of each stage's training.
        plain: Those of as many epochs of all images at the largest side.
    """

    seconds: tuple[float, float]
    memory_bytes: float
    stages: tuple[tuple[float, float], ...] = ()
    plain: tuple[float, float] = (0.0, 0.0)


def seconds_per_flop(plan: Plan) -> float:
    """Seconds that a FLOP of training takes here: forward and backward of a few batches, the fastest of them.

    Loading, the optimizer and evaluation come on top.

    Args:
        plan: Its model, precision, and the side and batch size of its first stage are those that are timed.
    """
    return probe(plan, plan.stages[0]).seconds_per_flop


def probe(plan: Plan, stage: Stage, whole: bool = False) -> Probe:
    """Times a few steps on batches of a stage.

    Args:
        plan: Its model and precision.
        stage: Its side, batch size and frozen layers.
        whole: On whole batches, however long these take; else on parts of them that take about a second.
    """
    torch.set_num_threads(plan.facts.machine.threads)
    flops = plan.facts.model.sample_flops(stage.side_px, stage.first_epoch, stage.frozen_layers).training
    model, task, began = build_model(plan).train(), task_of(plan), time.perf_counter()
    found = list[tuple[float, float]]()  # of the whole step, and of its forward
    set_trained(model, (p for p in model.parameters() if p.requires_grad), stage.first_epoch, plan.frozen(stage))
    batch = _batch(plan, stage, 0 if whole else flops)
    while len(found) < _FEWEST_STEPS or (len(found) < _STEPS and time.perf_counter() - began < _ENOUGH_S):
        start = time.perf_counter()
        loss_sum = task.outcome(model, batch, At(0, plan.epochs, 0.0)).loss_sum_B.sum()
        forward = _done() - start
        loss_sum.backward()
        found.append((_done() - start, forward))
        model.zero_grad(set_to_none=True)
    timed = sorted(found[1:])  # the first step also asks for memory, and for kernels
    fast, slow = (seconds / (flops * len(batch)) for seconds, _ in (timed[0], timed[3 * len(timed) // 4]))
    return Probe(fast, slow, timed[0][1] / timed[0][0])


def _done() -> float:
    """The time at which the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def outlook(plan: Plan) -> Outlook:
    """What a run will take on this machine, by a probe of each kind of stage."""
    base_bytes, probes = resident_bytes(), dict[tuple[int, int, int], Probe]()
    of_stages = list[Probe]()
    for stage in plan.stages:
        shape = stage.side_px, stage.largest_batch_size, stage.frozen_layers
        if shape not in probes and len(probes) < _SHAPES:
            probes[shape] = probe(plan, stage)
        of_stages.append(probes.get(shape, next(reversed(probes.values()))))
    fast = _seconds(plan, [each.seconds_per_flop for each in of_stages], 0)
    slow = _seconds(plan, [each.slow_seconds_per_flop for each in of_stages], 1)
    return Outlook(
        seconds=(fast.run, slow.run),
        memory_bytes=base_bytes + largest_step_bytes(plan) + (plan.loading_bytes if plan.loading.in_memory else 0),
        stages=tuple(zip(fast.stages, slow.stages, strict=True)),
        plain=(fast.plain, slow.plain),
    )


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Seconds of a run with its evaluations, of each stage's training, and of plain training."""

    run: float
    stages: list[float]
    plain: float


def _seconds(plan: Plan, per_flop: list[float], end: int) -> _Seconds:
    """Seconds at one end of the predicted cost: 0 the lowest, 1 the highest.

    Args:
        plan: The plan.
        per_flop: Seconds that a FLOP of each stage takes in one process.
        end: Which end.
    """
    processes = plan.facts.machine.processes
    flops = [(cost.low_flops, cost.high_flops)[end] for cost in plan.stage_costs]
    stages = [amount * each / processes for amount, each in zip(flops, per_flop, strict=True)]
    mean = sum(stages) / sum(flops) if sum(flops) else per_flop[0] / processes  # of what is between and behind them
    places = range(len(plan.stages))
    # A forward without a backward has another pace: plain training has that of the largest stage that trains all.
    likest = max(places, key=lambda place: (-plan.stages[place].frozen_layers, plan.stages[place].side_px))
    plain = together(plan.stage_costs).plain_flops * per_flop[likest] / processes
    return _Seconds((plan.predicted["flops"][end] + _evaluation_flops(plan)) * mean, stages, plain)


def _evaluation_flops(plan: Plan) -> float:
    """Forwards of validations and of the test, which no FEE counts."""
    data, model = plan.facts.data, plan.facts.model
    validated = validated_stages(plan.stages, plan.recipe.evaluate.every) if data.val_images else []
    sides_px = [stage.evaluation_side_px for stage in validated]
    last = plan.epochs - 1
    forwards = sum(model.sample_flops(side_px, last).forward for side_px in sides_px) * data.val_images
    return float(forwards + data.test_images * model.sample_flops(plan.evaluation_side_px, last).forward)


def _batch(plan: Plan, stage: Stage, sample_flops: int) -> Batch:
    """A batch of a stage, or of as many of its images as a step may take time for; all of them at 0 FLOPs an image."""
    size = max(2, min(stage.batch_size, int(_STEP_FLOPS / sample_flops))) if sample_flops else stage.batch_size
    device = torch.device(plan.facts.machine.device)
    two = task_of(plan).dummy_batch(stage.side_px, device, weights_dtype(plan.precision))
    if isinstance(two.inputs, torch.Tensor):
        two = replace(two, inputs=torch.full_like(two.inputs, 0.5))  # what memory held may be slow to compute with
    return two.take(torch.arange(size) % 2)
