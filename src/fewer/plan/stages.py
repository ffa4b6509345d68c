"""Stages of a run: whole epochs in which nothing changes by plan, without gaps."""

from __future__ import annotations

from collections.abc import Sequence

from fewer import tasks
from fewer.core.ramp import Ramp
from fewer.core.types import Stage
from fewer.recipe.schema import Recipe, number_of


def stages_of(recipe: Recipe, native_side_px: int, frozen_layers: Sequence[int] = ()) -> tuple[Stage, ...]:
    """The recipe's stages; without any, one at `train.side_px`, else at the data's own side within the task's bounds.

    Both small nets were designed for 32 px; photos at their full size would take hours where 128 px take minutes. Boxes
    and masks need more pixels than labels, and sides in whole steps of a backbone's grid.

    Args:
        recipe: What the user asked.
        native_side_px: The data's own side.
        frozen_layers: How many layers each stage's `frozen` comes to, once the model is known.
    """
    task = tasks.module(recipe.task.name)
    (low_px, high_px), step_px = task.OWN_SIDES_PX, task.SIDE_STEP_PX
    own_side = recipe.train.side_px or min(max(native_side_px, low_px), high_px) // step_px * step_px
    if not recipe.stages:
        epochs, size, evaluated = recipe.train.epochs, recipe.train.images_per_step, recipe.train.evaluation_side_px
        return (Stage(0, 0, epochs, own_side, size, evaluation_side_px=evaluated or own_side),)
    stages, first = [], 0
    for index, asked in enumerate(recipe.stages):
        shape = asked.ramp_px, asked.ramp_spread, asked.ramp_uniform
        ramp = Ramp(*shape, recipe.train.seed_of_data) if asked.ramp_px else None
        side, size = max(asked.ramp_px, default=asked.side_px or own_side), recipe.train.images_per_step
        if asked.batch_size is not None:
            size = number_of(asked.batch_size, f"stages.{index}.batch_size")
        strength, last_strength = asked.strength if isinstance(asked.strength, tuple) else (asked.strength, None)
        evaluation_side = asked.evaluation_side_px or recipe.train.evaluation_side_px or side
        stages.append(
            Stage(
                index=index,
                first_epoch=first,
                epochs=asked.epochs,
                side_px=side,
                batch_size=size,
                strength=strength,
                last_strength=last_strength,
                lr_scale=asked.lr_scale,
                evaluation_side_px=evaluation_side,
                data_share=asked.data_share,
                frozen_layers=frozen_layers[index] if asked.frozen and frozen_layers else 0,
                mix=asked.mix,
                ramp=ramp,
            )
        )
        first += asked.epochs
    return tuple(stages)


def data_shares(stages: Sequence[Stage]) -> list[float]:
    """The share of the training images that each epoch shows."""
    return [stage.data_share for stage in stages for _ in range(stage.epochs)]


def stage_of(stages: Sequence[Stage], epoch: int) -> Stage:
    """The stage that an epoch belongs to."""
    return next(stage for stage in reversed(stages) if stage.first_epoch <= epoch)
