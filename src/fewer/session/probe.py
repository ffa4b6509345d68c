"""Probe of how fast this machine trains a model: a few steps on made-up images, timed; and what they take in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from fewer.core.ledger import peak_memory_bytes
from fewer.core.types import At, Stage
from fewer.machine.precision import weights_dtype
from fewer.models.freezing import set_trained
from fewer.plan.evaluations import validated_stages
from fewer.session.build import build_model, task_of

if TYPE_CHECKING:
    from fewer.core.types import Batch
    from fewer.plan.plan import Plan

_STEPS = 5  # at most
_ENOUGH_S = 1.0
_STEP_FLOPS = 2e10  # at most: about a second on a slow core
_SHAPES = 4  # kinds of stages that are probed, at most


@dataclass(frozen=True, slots=True)
class Probe:
    """What a few steps of a stage showed.

    Attributes:
        seconds_per_flop: Of forward and backward, the fastest step's.
        step_bytes: What a step on a whole batch of the stage adds to the process's memory.
    """

    seconds_per_flop: float
    step_bytes: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run will take on this machine.

    Attributes:
        seconds: Least and most, training and evaluation; loading comes on top.
        memory_bytes: Of the process at its largest, decoded images included.
    """

    seconds: tuple[float, float]
    memory_bytes: float


def seconds_per_flop(plan: Plan) -> float:
    """Seconds that a FLOP of training takes here: forward and backward of a few batches, the fastest of them.

    Loading, the optimizer and evaluation come on top.

    Args:
        plan: Its model, precision, and the side and batch size of its first stage are those that are timed.
    """
    return probe(plan, plan.stages[0]).seconds_per_flop


def probe(plan: Plan, stage: Stage) -> Probe:
    """Times a few steps on batches of a stage."""
    torch.set_num_threads(plan.facts.machine.threads)
    flops = plan.facts.model.sample_flops(stage.side_px, stage.first_epoch, stage.frozen_layers).training
    model, task, began, found = build_model(plan).train(), task_of(plan), time.perf_counter(), list[float]()
    set_trained(model, (p for p in model.parameters() if p.requires_grad), stage.first_epoch, plan.frozen(stage))
    batch, before_bytes = _batch(plan, stage, flops), peak_memory_bytes()
    while len(found) < 2 or (len(found) < _STEPS and time.perf_counter() - began < _ENOUGH_S):
        start = time.perf_counter()
        task.outcome(model, batch, At(0, plan.epochs, 0.0)).loss_sum_B.sum().backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
        model.zero_grad(set_to_none=True)
    grown_bytes = (peak_memory_bytes() - before_bytes) * stage.batch_size / len(batch)
    return Probe(min(found) / (flops * len(batch)), grown_bytes)


def outlook(plan: Plan) -> Outlook:
    """What a run will take on this machine, by a probe of each kind of stage."""
    base_bytes = peak_memory_bytes()
    probes = dict[tuple[int, int, int], Probe]()
    seconds = weight = 0.0
    for stage in plan.stages:
        shape = stage.side_px, stage.batch_size, stage.frozen_layers
        if shape not in probes and len(probes) < _SHAPES:
            probes[shape] = probe(plan, stage)
        flops = sum(map(plan.budget.work, range(stage.first_epoch, stage.first_epoch + stage.epochs)))
        seconds += flops * probes.get(shape, next(reversed(probes.values()))).seconds_per_flop
        weight += flops
    mean = seconds / weight / plan.facts.machine.processes
    low, high = ((flops + _evaluation_flops(plan)) * mean for flops in plan.predicted["flops"])
    step_bytes = max(each.step_bytes for each in probes.values())
    return Outlook((low, high), base_bytes + step_bytes + (plan.loading_bytes if plan.loading.in_memory else 0))


def _evaluation_flops(plan: Plan) -> float:
    """Forwards of validations and of the test, which no FEE counts."""
    data, model = plan.facts.data, plan.facts.model
    validated = validated_stages(plan.stages, plan.recipe.evaluate.every) if data.val_images else []
    sides_px = [stage.evaluation_side_px for stage in validated]
    last = plan.epochs - 1
    forwards = sum(model.sample_flops(side_px, last).forward for side_px in sides_px) * data.val_images
    return float(forwards + data.test_images * model.sample_flops(plan.evaluation_side_px, last).forward)


def _batch(plan: Plan, stage: Stage, sample_flops: int) -> Batch:
    """A batch of a stage, or of as many of its images as a step may take time for."""
    size = max(2, min(stage.batch_size, int(_STEP_FLOPS / sample_flops)))
    device = torch.device(plan.facts.machine.device)
    two = task_of(plan).dummy_batch(stage.side_px, device, weights_dtype(plan.precision))
    if isinstance(two.inputs, torch.Tensor):
        two = replace(two, inputs=torch.full_like(two.inputs, 0.5))  # what memory held may be slow to compute with
    return two.take(torch.arange(size) % 2)
