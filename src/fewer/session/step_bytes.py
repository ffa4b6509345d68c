"""Memory of a run's steps, by a count: what was measured before in a process hides what a step adds (ADR 0063)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer import tasks
from fewer.models import dry_run
from fewer.models.freezing import set_trained
from fewer.optim import averages_of
from fewer.plan.facts import workers_of
from fewer.plan.step_memory import StepMemory, step_memory

if TYPE_CHECKING:
    from fewer.core.protocols import Task
    from fewer.core.types import Stage
    from fewer.plan.plan import Plan

# Measured over counted on a processor, for scratch of kernels and what the allocator cannot use: 1.0 to 1.5 (ADR 0063).
OVERHEAD = 1.5
COPIES = 4  # of the weights: themselves, gradients, and two that an optimizer keeps


def plain_task(plan: Plan) -> Task:
    """The plan's task with default settings."""
    task: Task = tasks.module(plan.recipe.task.name).plain(plan.facts.data.classes, plan.facts.data.aspect or 1.0)
    return task


def memory_of(plan: Plan, side_px: int, stage: Stage | None = None) -> StepMemory:
    """What a step on images of a side takes.

    Args:
        plan: Its model and task.
        side_px: Height and width of the images.
        stage: What it freezes is frozen; nothing if left out.
    """
    task = plain_task(plan)
    model = dry_run.take(plan.recipe.model, len(plan.facts.data.classes), (side_px,), task)
    if stage is not None:
        set_trained(model, model.parameters(), stage.first_epoch, plan.frozen(stage))
    return step_memory(task, model, side_px)


def counted_bytes(plan: Plan, memory: StepMemory, images: int) -> int:
    """What a process takes for a step of so many images in one forward."""
    recipe, machine = plan.recipe, plan.facts.machine
    workers = workers_of(recipe, machine) // machine.processes
    copies = COPIES * workers + len(averages_of(recipe.train))
    return (2 if plan.precision == "fp64" else 1) * (copies * memory.weight_bytes + images * memory.image_bytes)


def largest_step_bytes(plan: Plan) -> float:
    """What the largest step of any stage takes in a process, at most."""
    parts = plan.recipe.train.accumulate * workers_of(plan.recipe, plan.facts.machine)
    counted = dict[tuple[int, int], StepMemory]()
    found = 0
    for stage in plan.stages:
        shape = max(stage.sides_px), stage.frozen_layers
        if shape not in counted:
            counted[shape] = memory_of(plan, shape[0], stage)
        found = max(found, counted_bytes(plan, counted[shape], -(-stage.largest_batch_size // parts)))
    return OVERHEAD * found
