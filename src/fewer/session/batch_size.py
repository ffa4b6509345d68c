"""Batch sizes that are left to the machine (`batch_size = "auto"`): the largest whose steps its memory holds.

They become numbers before anything else is decided, and the run's recipe has these: a run that is resumed elsewhere, or
trained again from its resolved recipe, takes the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from fewer import models
from fewer.core.types import At
from fewer.machine.memory import USABLE
from fewer.machine.precision import autocast_dtype, weights_dtype
from fewer.recipe.schema import AUTO_BATCH, AUTO_LR
from fewer.recipe.stage_fitting import FEWEST_STEPS
from fewer.session.step_bytes import COPIES, OVERHEAD, counted_bytes, memory_of, plain_task

if TYPE_CHECKING:
    from fewer.core.types import Stage
    from fewer.plan.plan import Plan
    from fewer.plan.step_memory import StepMemory
    from fewer.recipe.schema import Recipe

SIZES = tuple(2**power for power in range(3, 11))  # 8 to 1,024: larger ones take another optimizer

Place = int | None  # a stage's own key, or that of [train]
Sizes = Mapping[Place, int]


def sized(
    recipe: Recipe,
    plan_of: Callable[[Recipe], Plan],
    processes: int = 1,
    agreed: Callable[[int], int] = lambda size: size,
) -> Recipe:
    """The recipe with a number for each batch size that is left to the machine; others are left as they are.

    Such a size is a power of two of 8 to 1,024 images. An epoch has 16 steps or more, and a step of the whole model on
    the largest images, mixed, nothing frozen, takes no more than 80 % of the memory that is free. That is counted, and
    on a GPU also tried.

    Args:
        recipe: What the user asked.
        plan_of: Compiles a recipe that has numbers.
        processes: Processes that train together.
        agreed: Gives every process the number of process 0.
    """
    places = left_open(recipe)
    if not places:
        return recipe
    parts = recipe.train.accumulate * (recipe.sync.workers or processes)
    least = max(SIZES[0], 2 * parts)
    plan = plan_of(_unbudgeted(_with(recipe, dict.fromkeys(places, least))))
    notes, sizes = list(recipe.notes), dict[Place, int]()
    for place in places:
        stages = _stages(recipe, plan, place)
        size, why = _size(plan, stages, least, parts)
        sizes[place] = agreed(size)
        notes.append(f"{_key(place)} became {sizes[place]}: {why}{_rate(recipe)}")
    return _with(recipe, sizes).with_notes(notes)


def left_open(recipe: Recipe) -> list[Place]:
    """The keys that ask for a size."""
    stages: list[Place] = [place for place, stage in enumerate(recipe.stages) if stage.batch_size == AUTO_BATCH]
    return [None, *stages] if recipe.train.batch_size == AUTO_BATCH else stages


def _key(place: Place) -> str:
    return f'{"train" if place is None else f"stages.{place}"}.batch_size = "{AUTO_BATCH}"'


def _with(recipe: Recipe, sizes: Sizes) -> Recipe:
    """The recipe with numbers in these places."""
    stages = [
        stage.model_copy(update={"batch_size": sizes[place]}) if place in sizes else stage
        for place, stage in enumerate(recipe.stages)
    ]
    train = recipe.train.model_copy(update={"batch_size": sizes[None]}) if None in sizes else recipe.train
    return recipe.model_copy(update={"train": train, "stages": tuple(stages)})


def _unbudgeted(recipe: Recipe) -> Recipe:
    """The recipe with the epochs that it states: how many of them are paid for changes no step."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"budget": "off"})})


def _stages(recipe: Recipe, plan: Plan, place: Place) -> Sequence[Stage]:
    """The stages that have a key's batches; all of them for one of [train] that every stage goes before."""
    if place is not None:
        return [plan.stages[place]]
    own = [stage.batch_size is not None for stage in recipe.stages] or [False]
    return [stage for stage, has in zip(plan.stages, own, strict=True) if not has] or plan.stages


def _size(plan: Plan, stages: Sequence[Stage], least: int, parts: int) -> tuple[int, str]:
    """The size for some stages, and why it is no larger.

    Args:
        plan: The plan with other sizes.
        stages: The stages.
        least: The smallest size.
        parts: Forwards that a batch is cut into, over all workers.
    """
    largest_px = max(side_px for stage in stages for side_px in stage.sides_px)
    shown = min(int(plan.facts.data.train_images * stage.data_share) for stage in stages)
    useful = max([least, *(size for size in SIZES if size * FEWEST_STEPS <= shown)])
    memory, size = memory_of(plan, largest_px), useful
    while size > least and not _fits(plan, largest_px, -(-size // parts), memory):
        size = max(least, size // 2)
    if size < useful:
        return size, f"a step of {2 * size} images of {largest_px} px does not fit into the memory that is free"
    if size < SIZES[-1]:
        return size, f"larger ones leave fewer than {FEWEST_STEPS} steps of {shown:,} images"
    return size, "the largest that is usual"


def _rate(recipe: Recipe) -> str:
    """What becomes of the learning rate."""
    train = recipe.train
    if train.lr == AUTO_LR or train.lr_scaling != "none":
        return ""
    return f"; train.lr = {train.lr:g} is for that, or set train.lr_scaling"


def _fits(plan: Plan, side_px: int, images: int, memory: StepMemory) -> bool:
    """Whether a step with so many images in a forward fits: by the count, and on a GPU by a trial."""
    counted, free = counted_bytes(plan, memory, images), _free_bytes(plan)
    if plan.facts.machine.device == "cpu":
        return OVERHEAD * counted <= free
    # Half precision halves most of what a step holds, and the trial knows what the count does not.
    least = counted / (2 if plan.precision in ("bf16", "fp16") else 1)
    return least <= free and _runs(plan, side_px, images, free)


def _free_bytes(plan: Plan) -> float:
    """What a process's step may take, beside images that are kept decoded; infinite where the system does not say."""
    machine = plan.facts.machine
    if machine.device == "cuda":  # untested: needs a GPU
        return torch.cuda.mem_get_info()[0] * USABLE
    if machine.available_bytes is None:
        return float("inf")
    images = plan.loading_bytes if plan.loading.in_memory else 0
    return machine.available_bytes * USABLE / machine.processes - images


def _runs(plan: Plan, side_px: int, images: int, free: float) -> bool:
    """Whether a GPU takes a real step on so many images within its memory. Untested: needs a GPU."""
    torch.cuda.reset_peak_memory_stats()
    optimizer_bytes = (COPIES - 2) * plan.facts.model.parameters * torch.float32.itemsize
    try:
        _step(plan, side_px, images)
        return torch.cuda.max_memory_reserved() + optimizer_bytes <= free
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()


def _step(plan: Plan, side_px: int, images: int) -> None:
    """One forward and backward of the whole model on made-up images, on the plan's device."""
    device, options = torch.device(plan.facts.machine.device), plan.recipe.model.model_dump(exclude={"name"})
    task, half = plain_task(plan), autocast_dtype(plan.precision)
    model = models.build(plan.recipe.model.name, len(plan.facts.data.classes), side_px, **options)
    model = model.to(device, weights_dtype(plan.precision))
    batch = task.dummy_batch(side_px, device, weights_dtype(plan.precision)).take(torch.arange(images) % 2)
    with torch.autocast(device.type, half, enabled=half is not None):
        loss = task.outcome(model, batch, At(0, 1, 0.0)).loss_sum_B.sum()
    loss.backward()
