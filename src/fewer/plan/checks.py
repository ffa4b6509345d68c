"""Checks of a recipe against the facts: why it is refused, in sentences that name what would do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fewer import optim, tasks
from fewer.core.errors import printable
from fewer.core.evaluation import interval
from fewer.core.messages import nearest
from fewer.core.text import quantity
from fewer.core.types import Stage
from fewer.data.listing.class_summary import class_problem
from fewer.plan.facts import Facts, workers_of
from fewer.plan.freezing import freezing_problems
from fewer.plan.lr_finder import finds_lr, too_few_images
from fewer.plan.rates import batch_factor, ramp_problems
from fewer.plan.traffic import statistics_problems
from fewer.recipe.schema import AUTO_LR, Recipe
from fewer.select.budget import Budget
from fewer.select.data_share import least_share
from fewer.select.method_params import InBatchParams
from fewer.sync.methods import SYNC_METHODS

_FAR = 3.0  # times beyond what is usual deserves a warning

FEW_IMAGES = 20  # of a validation set: fewer tell an accuracy to some 20 points only


def mismatches(recipe: Recipe, facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """What in a recipe does not fit the data, the model or the machine."""
    problems = list(facts.model.problems)
    if problem := class_problem(facts.data.classes, facts.data.annotations):
        problems.append(problem)
    problems += _task_problems(recipe, facts, stages)
    workers, processes = workers_of(recipe, facts.machine), facts.machine.processes
    if workers % processes:
        text = f"sync.workers = {workers} cannot be shared evenly by {processes} processes"
        new = f"a new run may have {-(-workers // processes) * processes}, or leave it out"
        problems.append(f"{text}; start 1 process, or a number that divides {workers}; {new}")
    problems += statistics_problems(recipe, facts)
    method, precision = recipe.sync.method, recipe.train.precision
    if workers > 1 and precision == "fp16" and not getattr(SYNC_METHODS.module(method), "TAKES_FP16", True):
        text = f'sync.method = "{method}" cannot train in fp16, whose gradients have another scale at each step'
        problems.append(f'{text}; set train.precision = "fp32", or "bf16" where the machine computes it')
    metrics = [metric.name for metric in tasks.module(recipe.task.name).METRICS]
    if (best := recipe.evaluate.best) not in ("auto", *metrics):
        problems.append(f'evaluate.best = "{best}": there is no such metric; {nearest(best, metrics)}')
    for stage in stages:
        problems += _batch_size_problems(recipe, facts, stage)
    problems += [*_data_share_problems(facts, stages), *ramp_problems(recipe, stages)]
    if not facts.model.problems:
        problems += freezing_problems(recipe, facts, stages)
    if not problems and finds_lr(recipe) and (problem := too_few_images(facts, stages[0])):
        problems.append(f'train.lr = "auto": {problem}')
    scorer_px = facts.model.scoring_side_px
    if scorer_px and scorer_px > (smallest := min(stage.sides_px[0] for stage in stages)):
        is_key = isinstance(recipe.select, InBatchParams)
        key = "select.scorer_side_px" if is_key else "the selector's scoring_side_px"
        text = f"{key} = {scorer_px} is larger than the images that are trained on ({smallest} px)"
        problems.append(f"{text}; use at most {smallest}, or leave it out")
    return problems


def _task_problems(recipe: Recipe, facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """What the task wants of data and sides, and does not get."""
    name, has = recipe.task.name, facts.data.annotations
    task, found = tasks.module(name), list[str]()
    if has != task.ANNOTATIONS:
        fit = [other for other in tasks.TASKS.names() if has == tasks.module(other).ANNOTATIONS]
        kinds = {"classes": "folder:PATH", "boxes": "coco:PATH, voc:PATH or yolo:PATH", "masks": "masks:PATH"}
        fix = f'set task.name = "{fit[0]}"' if fit else "give other data"
        text = f'task.name = "{name}" learns from {task.ANNOTATIONS}, and data.source has {has}'
        found.append(f"{text}; {fix}, or data.source = {kinds[task.ANNOTATIONS]}")
    step_px = task.SIDE_STEP_PX
    asked = {side for stage in stages for side in (*stage.sides_px, stage.evaluation_side_px)}
    if wrong := sorted(side for side in asked if side % step_px):
        text = f"side_px = {wrong[0]}: {name} takes sides in steps of {step_px} px"
        found.append(
            f"{text}; use {max(step_px, wrong[0] // step_px * step_px)} or {-(-wrong[0] // step_px) * step_px}"
        )
    return found


def _batch_size_problems(recipe: Recipe, facts: Facts, stage: Stage) -> list[str]:
    key = f"{f'stages.{stage.index}' if recipe.stages else 'train'}.batch_size = {stage.batch_size}"
    images, workers, accumulate = facts.data.train_images, workers_of(recipe, facts.machine), recipe.train.accumulate
    problems = []
    shown = math.floor(images * stage.data_share)
    if stage.batch_size > shown:
        part = f" that stages.{stage.index}.data_share = {stage.data_share:g} shows" if stage.data_share < 1 else ""
        problems.append(f"{key} is larger than the {shown} training images{part}; use at most {shown}")
    if stage.batch_size // (accumulate * workers) < 2:
        problems.append(
            f"{key} over {workers} workers and {accumulate} micro-batches leaves fewer than two images for one "
            f"forward; use {2 * accumulate * workers} or more"
        )
    return problems


def _data_share_problems(facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """Shares that leave a class without any image in some epoch."""
    images_C, problems = facts.data.class_images or (facts.data.train_images,), []
    least = least_share(images_C)
    images, name = min(
        ((images, name) for images, name in zip(images_C, facts.data.classes, strict=False) if images), default=(0, "")
    )
    for stage in stages:
        if stage.data_share < min(1.0, least):
            fix = f"use {math.ceil(1000 * least) / 1000:g} or more" if images > 1 else "leave it out"
            text = f'stages.{stage.index}.data_share = {stage.data_share:g} leaves class "{printable(name)}" empty'
            problems.append(f"{text} in some epochs, as it has {images} training images; {fix}")
    return problems


def unusual_lr(recipe: Recipe, facts: Facts) -> str:
    """A warning where the learning rate is far from what is usual for the optimizer and the first weights."""
    train, given = recipe.train, bool(facts.model.weights)
    usual = optim.usual_lr(train, "given" if given else "random", train.images_per_step)
    if train.lr == AUTO_LR:
        return ""
    lr = train.lr * batch_factor(train, train.images_per_step)
    if usual is None or usual[0] / _FAR <= lr <= usual[1] * _FAR:
        return ""
    low, high = usual
    weights = "with first weights from elsewhere" if given else "from random weights"
    what = "high" if lr > high else "low"
    scaled = f", by the batch size {lr:g}," if lr != train.lr else ""
    text = f'warning: train.lr = {train.lr:g}{scaled} is far too {what} for "{train.optimizer}" {weights}'
    return f"{text}; {low:g} to {high:g} is usual, e.g. train.lr={_round((low * high) ** 0.5 * train.lr / lr):g}"


def _round(value: float) -> float:
    """To one digit, as learning rates are written."""
    return float(f"{value:.0e}")


def few_validation_images(recipe: Recipe, facts: Facts) -> str:
    """A warning where the best epoch is chosen by a handful of images; else nothing."""
    images = facts.data.val_images
    if not 0 < images < FEW_IMAGES:
        return ""
    low, high = interval(0.5, images)
    tell = "tells" if images == 1 else "tell"
    exactly = f", which {tell} an accuracy to ±{50 * (high - low):.0f} points only"
    counts = tasks.module(recipe.task.name).PRIMARY.counts_images
    return (
        f"warning: the best epoch is chosen by {quantity(images, 'validation image')}{exactly if counts else ''}; "
        + ("a larger data.val holds out more" if recipe.data.val.endswith("%") else "more of them tell more")
    )


def crashes_with_channels_last(recipe: Recipe, facts: Facts) -> str:
    """That the layout asked for makes a processor compute wrongly; nothing where it does not.

    Args:
        recipe: The recipe, with what `auto` became.
        facts: What is known of the model and the machine.
    """
    if recipe.train.channels_last == "no" or facts.machine.device != "cpu" or not facts.model.narrow_strides:
        return ""
    return (
        'train.channels_last = "yes" with strided 1x1 convolutions of fewer than 16 channels gives wrong gradients on '
        "some processors, or a crash (oneDNN, issue 6035); leave it out"
    )


def waits_for_compiler(recipe: Recipe) -> str:
    """What a run that compiles waits for, which no time that is predicted holds; nothing for any other."""
    if recipe.train.compile == "no":
        return ""
    return (
        f'train.compile = "{recipe.train.compile}": the first batch of each size and stage waits for the compiler, '
        "for minutes where the net is large; that is in no time that is predicted"
    )


def exceeds_plain_cost(facts: Facts, budget: Budget, predicted: Mapping[str, tuple[float, float]]) -> str:
    """A warning where what comes first makes a run cost more than plain training; else nothing."""
    least_flops, full_flops = predicted["flops"][0], budget.full_flops
    if not facts.preparation or least_flops <= full_flops:
        return ""
    epochs, plain = (flops / facts.plain_epoch_flops for flops in (least_flops, full_flops))
    name = facts.preparation.name
    text = f"warning: with its {name} this run costs more than plain training: {epochs:.2f} FEE > {plain:.2f}"
    return "; ".join(filter(None, [text, facts.preparation.cheaper]))
