"""Learning rates of stages: re-scaled by batch size, dampened at a stage's start, and by a schedule of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fewer.core.clock import Duration
from fewer.core.types import Stage
from fewer.recipe.schema import AUTO_LR, Recipe, StageRecipe, TrainRecipe

_POWER = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}


def batch_factor(train: TrainRecipe, batch_size: int) -> float:
    """The factor on `train.lr` for steps of so many images.

    In proportion to the batch (Goyal et al. 2017), or to its square root, for Adam and its kin (Malladi et al. 2022).
    """
    if train.lr_scaling == "none":
        return 1.0
    factor = float((batch_size / (train.lr_batch_size or train.images_per_step)) ** _POWER[train.lr_scaling])
    # A cap beside a rate that is to be found is refused.
    return factor if train.lr_max is None or train.lr == AUTO_LR else min(factor, train.lr_max / train.lr)


def growth_factor(train: TrainRecipe, growth: int) -> float:
    """The factor on a schedule's rate where `train.batch_ramp` makes a batch so many times as large.

    In proportion (Smith et al. 2018), and with `lr_scaling = "sqrt"` by the square root: where the schedule halves the
    rate of Adam and its kin, it is divided by the root of two while the batch doubles (Seesaw, arXiv 2510.14717).
    """
    return math.sqrt(growth) if train.lr_scaling == "sqrt" else float(growth)


def scaling_note(recipe: Recipe, stages: Sequence[Stage]) -> str:
    """By how much the batches of a run change its learning rate, where `train.lr_scaling` says that they do."""
    train = recipe.train
    if train.lr_scaling == "none":
        return ""
    sizes = dict.fromkeys(stage.batch_size for stage in stages)
    factors = ", ".join(f"{size} take {batch_factor(train, size):.4g} times it" for size in sizes)
    meant = train.lr_batch_size or train.batch_size
    return f'train.lr_scaling = "{train.lr_scaling}": train.lr is meant for batches of {meant}; those of {factors}'


def with_rates(recipe: Recipe, stages: Sequence[Stage], train_images: int) -> tuple[Stage, ...]:
    """The stages with the factors on their learning rates, and with the lengths of their ramps in epochs."""
    asked = recipe.stages or (StageRecipe(epochs=stages[0].epochs),)
    return tuple(
        replace(
            stage,
            lr_scale=stage.lr_scale * batch_factor(recipe.train, stage.batch_size),
            lr_ramp_epochs=_in_epochs(each.lr_ramp, stage, train_images),
            lr_ramp_start=each.lr_ramp_start,
        )
        for stage, each in zip(stages, asked, strict=True)
    )


def ramp_problems(recipe: Recipe, stages: Sequence[Stage]) -> list[str]:
    """Ramps that are longer than their stage."""
    return [
        f'stages.{stage.index}.lr_ramp = "{asked.lr_ramp}" is longer than the stage, which has {stage.epochs} epochs'
        f"{f', {stage.lr_ramp_epochs:.3g} of them' if asked.lr_ramp.unit == 'step' else ''}; shorten it"
        for stage, asked in zip(stages, recipe.stages, strict=False)
        if stage.lr_ramp_epochs > stage.epochs
    ]


def ramped(stage: Stage, past: float) -> float:
    """The share of the stage's learning rate after so many epochs of it: a straight line up to all of it."""
    if past >= stage.lr_ramp_epochs:
        return 1.0
    return stage.lr_ramp_start + (1 - stage.lr_ramp_start) * max(0.0, past) / stage.lr_ramp_epochs


def _in_epochs(ramp: Duration, stage: Stage, train_images: int) -> float:
    """A ramp in epochs; steps are counted as if a stage trained on all that it shows, in its own batches."""
    if ramp.unit == "step":
        return ramp.value / max(1, math.ceil(train_images * stage.data_share / stage.batch_size_at(stage.first_epoch)))
    return ramp.in_epochs(stage.epochs)
