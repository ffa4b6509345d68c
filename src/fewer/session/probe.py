"""Probe of how fast this machine trains a model: a few steps on made-up images, timed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fewer.core.types import At
from fewer.machine.precision import weights_dtype
from fewer.session.build import build_model, task_of

if TYPE_CHECKING:
    from fewer.core.types import Batch
    from fewer.plan.plan import Plan

_STEPS = 5  # at most
_ENOUGH_S = 1.0
_STEP_FLOPS = 2e10  # at most: about a second on a slow core


def seconds_per_flop(plan: Plan) -> float:
    """Seconds that a FLOP of training takes here: forward and backward of a few batches, the fastest of them.

    Loading, the optimizer and evaluation come on top.

    Args:
        plan: Its model, precision, and the side and batch size of its first stage are those that are timed.
    """
    flops = plan.sample_flops(0).training
    model, task, began, found = build_model(plan).train(), task_of(plan), time.perf_counter(), list[float]()
    batch = _batch(plan, flops)
    while len(found) < 2 or (len(found) < _STEPS and time.perf_counter() - began < _ENOUGH_S):
        start = time.perf_counter()
        task.outcome(model, batch, At(0, plan.epochs, 0.0)).loss_sum_B.sum().backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
        model.zero_grad(set_to_none=True)
    return min(found) / (flops * len(batch))


def _batch(plan: Plan, sample_flops: int) -> Batch:
    """A batch of the first stage, or of as many of its images as a step may take time for."""
    stage = plan.stages[0]
    size = max(2, min(stage.batch_size, int(_STEP_FLOPS / sample_flops)))
    device = torch.device(plan.facts.machine.device)
    two = task_of(plan).dummy_batch(stage.side_px, device, weights_dtype(plan.precision))
    if isinstance(two.inputs, torch.Tensor):
        two = replace(two, inputs=torch.full_like(two.inputs, 0.5))  # what memory held may be slow to compute with
    return two.take(torch.arange(size) % 2)
