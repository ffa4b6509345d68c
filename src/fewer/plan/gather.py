"""Gathering of facts about listed data, the recipe's model and this machine, without training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fewer import models, optim, tasks
from fewer.data.depth import depth_of
from fewer.data.listing.splits import spread
from fewer.machine.device import device_kind, usable_cores
from fewer.machine.memory import available_bytes
from fewer.machine.precision import native_bf16
from fewer.models import dry_run, freezing
from fewer.models.batchnorm import batchnorm_channels, has_batchnorm
from fewer.models.blocks import ends, rate_factors
from fewer.models.cut import Cut, cut_before_head, cut_inside
from fewer.plan.facts import DataFacts, Facts, MachineFacts, ModelFacts
from fewer.plan.flops import flops_by_epoch, rest_flops, unfrozen_flops
from fewer.plan.stages import stages_of
from fewer.plan.stores import store_of
from fewer.recipe.schema import Recipe

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.core.types import Stage
    from fewer.data.decode.depth import Depth
    from fewer.data.listing.splits import Split, Splits
    from fewer.models.pretrained import Weights

_MASKS = 256  # whose pixels are counted
_SMALL_PX, _COARSE = 64, 4  # where a stem that divides the side by so much deserves a word


def gather_facts(
    recipe: Recipe,
    splits: Splits,
    processes: int = 1,
    weights: Weights | None = None,
    available: int | None = None,
    scoring_side_px: int | None = None,
) -> Facts:
    """Facts for `compile_plan`.

    Args:
        recipe: What the user asked; it names the model and the sides to count FLOPs for.
        splits: The listed data.
        processes: Processes that will train together; each gets its share of the cores.
        weights: The model's first weights, unless they are random.
        available: Free memory in bytes, where it was looked at before; else it is now.
        scoring_side_px: Image side that the selector scores at, where it is not that of training.
    """
    data = data_facts(splits, recipe.data.depth)
    if data.annotations == "masks" and getattr(recipe.task, "class_weights", "none") != "none":
        data = replace(data, class_pixels=_class_pixels(splits.train))
    store, notes = store_of(recipe, splits.train.source, stages_of(recipe, data.native_side_px), data.depth)
    data = replace(data, store=store, notes=(*data.notes, *notes))
    if not recipe.evaluate.test:
        data = replace(data, test_images=0)
    model = model_facts(recipe, data, weights, scoring_side_px)
    return Facts(data, model, machine_facts(processes, available))


def data_facts(splits: Splits, asked_depth: Depth = "auto") -> DataFacts:
    """Facts of listed data, which are read by the depth that a recipe asks for."""
    depth, depth_notes = depth_of(splits.train.source, asked_depth)
    train, is_whole = splits.train, splits.train.source.annotations != "classes"
    longer_px, aspect = train.native_frame() if is_whole else (0, 1.0)
    return DataFacts(
        train_images=len(splits.train),
        val_images=len(splits.val) if splits.val else 0,
        test_images=len(splits.test) if splits.test else 0,
        classes=tuple(splits.classes),
        native_side_px=longer_px or train.native_side_px(),
        class_images=tuple(train.class_images()),
        class_objects=tuple(train.class_objects()),
        depth=depth,
        aspect=round(aspect, 4) if is_whole else None,
        annotations=train.source.annotations,
        notes=(*splits.notes, *depth_notes),
    )


def _class_pixels(train: Split) -> tuple[int, ...]:
    """Pixels of every class in some training masks, spread evenly over all."""
    count_V = torch.zeros(256, dtype=torch.int64)
    for id in spread(train.ids_M, _MASKS).tolist():
        count_V += torch.bincount(torch.from_numpy(train.source.read_mask(id)).flatten().long(), minlength=256)
    return tuple(count_V[: len(train.classes)].tolist())


def machine_facts(processes: int, available: int | None = None) -> MachineFacts:
    """Facts of this machine, for so many processes; `available` is its free memory in bytes, where known already."""
    device, cores = device_kind(), usable_cores()
    return MachineFacts(
        processes=processes,
        threads=max(1, torch.get_num_threads() if processes == 1 else cores // processes),
        cores=cores,
        available_bytes=available_bytes() if available is None else available,
        bf16=native_bf16(device),
        device=device,
    )


def model_facts(recipe: Recipe, data: DataFacts, weights: Weights | None, scoring_side_px: int | None) -> ModelFacts:
    """Facts of the recipe's model, from dry runs at every side that the run needs.

    Args:
        recipe: What the user asked.
        data: Facts of the data.
        weights: The model's first weights, unless they are random.
        scoring_side_px: Image side that the selector scores at, where it is not that of training.
    """
    classes, stages = len(data.classes), stages_of(recipe, data.native_side_px)
    sides = sorted({side for stage in stages for side in stage.sides_px})
    looked_at = {stage.evaluation_side_px for stage in stages} | {scoring_side_px or sides[0]}
    shown = (*sorted({*sides, *looked_at} - {sides[-1]}), sides[-1])  # the model is built for the last
    if problem := _other_task(recipe):
        return ModelFacts({}, 0, 0, scoring_side_px=scoring_side_px, problems=(problem,))
    task = tasks.module(recipe.task.name).plain(tuple(map(str, range(classes))), data.aspect or 1.0)
    try:
        model = dry_run.take(recipe.model, classes, shown, task)
    except ValueError as error:
        problem = f'model.name = "{recipe.model.name}": {error}'
        return ModelFacts({}, 0, 0, scoring_side_px=scoring_side_px, problems=(problem,))
    layers, counts, body, problems = _frozen(recipe, model, classes, task, sides[-1])
    cuts = _cuts(recipe, model, classes, task, stages, (layers, counts, body))
    frozen = {
        side: {0} | {count for stage, count in zip(stages, counts, strict=False) if side in stage.sides_px}
        for side in shown
    }

    def step_flops(model: nn.Module) -> int:
        return optim.step_flops(recipe.train, model, ends(model, classes))

    return ModelFacts(
        flops={
            side: flops_by_epoch(task, model, side, recipe.epochs, layers, frozen[side], step_flops) for side in shown
        },
        layers=layers,
        frozen_layers=counts,
        body_layers=body,
        cuts=cuts,
        rest_flops={at: rest_flops(task, model, cut, layers[: at[1]]) for at, cut in cuts.items()},
        problems=problems,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        batchnorm=has_batchnorm(model),
        batchnorm_channels=batchnorm_channels(model),
        shapes=tuple(tuple(parameter.shape) for parameter in model.parameters()),
        depthwise_share=dry_run.depthwise_share(model, sides[-1], task),
        weights=weights.sha256 if weights else "",
        moments=weights.moments if weights else None,
        scoring_side_px=scoring_side_px,
        notes=(
            *_stem_notes(recipe, model, sides[0]),
            *_weights_notes(recipe, model, classes, weights),
            *_rate_notes(recipe, model, layers, classes),
        ),
        plain_sample_flops=unfrozen_flops(task, model, sides[-1]),
    )


def _other_task(recipe: Recipe) -> str:
    """That the model is none of the task's, and which ones are; nothing where it is."""
    name, task = recipe.model.name, recipe.task.name
    made_for = getattr(models.family(name), "TASK", "classify")
    if made_for == task:
        return ""
    fit = [
        each for each in models.names() if getattr(models.family(each), "TASK", "classify") == task and ":" not in each
    ]
    fix = f"take one of its own: {', '.join(fit[:6])}" if fit else "take another model"
    return f'model.name = "{name}" is made to {made_for}, and task.name = "{task}"; {fix}'


def _frozen(
    recipe: Recipe, model: nn.Module, classes: int, task: Task, side_px: int
) -> tuple[tuple[str, ...], tuple[int, ...], int, tuple[str, ...]]:
    """The model's layers as they run, how many of them each stage freezes, how many come before the head, and what of
    that cannot be done."""
    if not any(stage.frozen for stage in recipe.stages) and recipe.train.layer_lr_decay == 1:
        return (), (), 0, ()
    batch = task.dummy_batch(side_px, torch.device("meta"), torch.float32)
    with torch.no_grad():
        layers, head = freezing.layers_in_order(model, classes, lambda: task.dry_run(model, batch))
    norms, counts, problems = freezing.norms_of(model), list[int](), list[str]()
    for index, stage in enumerate(recipe.stages):
        try:
            counts.append(freezing.frozen_layers(stage.frozen, layers, head, norms))
        except ValueError as error:
            problems.append(f"stages.{index}.frozen: {error}")
            counts.append(0)
    return layers, tuple(counts), len(layers) - head, tuple(problems)


def _cuts(
    recipe: Recipe,
    model: nn.Module,
    classes: int,
    task: Task,
    stages: Sequence[Stage],
    frozen: tuple[tuple[str, ...], tuple[int, ...], int],
) -> dict[tuple[int, int], Cut]:
    """Where the model can be cut behind what a stage freezes, by side and frozen layers: before the head, or further
    inside where the stage asks for that."""
    layers, counts, body = frozen
    found: dict[tuple[int, int], Cut | None] = {}
    for stage, asked, count in zip(stages, recipe.stages, counts, strict=False):
        at = stage.side_px, count
        if not count or at in found:
            continue
        if count == body:
            found[at] = _cut(model, classes, task, stage.side_px)
        elif asked.keep_features == "yes":
            drawn = dry_run.drawn(recipe.model, classes, stages[-1].side_px)
            found[at] = cut_inside(drawn, set(layers[:count]), stage.side_px)
    return {at: cut for at, cut in found.items() if cut}


def _cut(model: nn.Module, classes: int, task: Task, side_px: int) -> Cut | None:
    """Where the model can be cut before its head; no task but classification says that it can."""
    batch = task.dummy_batch(side_px, torch.device("meta"), torch.float32)
    with torch.no_grad():
        return cut_before_head(model, classes, lambda: task.dry_run(model, batch))


def _stem_notes(recipe: Recipe, model: nn.Module, side_px: int) -> Sequence[str]:
    """A hint where a model's first layers leave little of a small image."""
    divided = dry_run.reduction(model, side_px)
    if side_px > _SMALL_PX or divided < _COARSE or getattr(recipe.model, "stem", "") != "own":
        return ()
    return (
        f'the first layers of "{recipe.model.name}" leave {math.ceil(side_px / divided)} px of images of {side_px} px; '
        'model.stem = "small" keeps more',
    )


def _rate_notes(recipe: Recipe, model: nn.Module, layers: Sequence[str], classes: int) -> Sequence[str]:
    """How far learning rates fall with depth, where they do."""
    decay = recipe.train.layer_lr_decay
    if decay == 1:
        return ()
    factors = sorted(set(rate_factors(model, layers, classes, decay).values()))
    return (f"learning rates fall with depth over {len(factors)} blocks: from 1 at the head to {factors[0]:.2g}",)


def _weights_notes(recipe: Recipe, model: nn.Module, classes: int, weights: Weights | None) -> Sequence[str]:
    """Which of the first weights fit the model, and whether they decide how images are normalised."""
    if not weights:
        return ()
    fitted = f"first weights from {weights.origin}: {weights.fitted(recipe.model, model, classes).describe()}"
    if recipe.data.normalize != "auto" or not weights.moments:
        return (fitted,)
    whose = "the first weights come with"
    if weights.are_usual:
        whose = f'published weights of "{recipe.model.name}" take, since the file states none'
    return fitted, f"images are normalised by the mean and standard deviation that {whose}"
