"""Stages that train the head on kept features: where that can be done, and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from fewer import tasks
from fewer.core.types import Stage
from fewer.plan.facts import Facts
from fewer.recipe.augment_section import AugmentRecipe
from fewer.recipe.schema import Recipe
from fewer.select.method_params import InBatchParams

_BYTES = 4  # of a number
_GIB = 2**30


def with_features(recipe: Recipe, facts: Facts, stages: Sequence[Stage], own_selector: bool) -> tuple[Stage, ...]:
    """The stages, and which of them keep features: those that may, unless their recipe says no."""
    asked = [each.keep_features for each in recipe.stages] or ["no"] * len(stages)
    return tuple(
        replace(stage, keeps_features=each != "no" and not _obstacle(recipe, facts, stage, own_selector))
        for stage, each in zip(stages, asked, strict=True)
    )


def feature_problems(recipe: Recipe, facts: Facts, stages: Sequence[Stage], own_selector: bool) -> list[str]:
    """Stages that are to keep features and cannot, and features for which there is no memory."""
    problems = []
    for stage, asked in zip(stages, recipe.stages, strict=False):
        key = f"stages.{stage.index}.keep_features"
        if asked.keep_features == "yes" and (obstacle := _obstacle(recipe, facts, stage, own_selector)):
            problems.append(f'{key} = "yes": {obstacle}, or set "no"')
        needed, free = features_bytes(facts, stage) * facts.machine.processes, facts.machine.available_bytes
        if stage.keeps_features and free is not None and needed > free:
            problems.append(
                f"{key}: the features of {facts.data.train_images:,} images take {needed / _GIB:.1f} GiB, more than "
                f'the {free / _GIB:.1f} GiB of free memory; set {key} = "no", which computes them in every epoch'
            )
    return problems


def features_bytes(facts: Facts, stage: Stage) -> int:
    """What the features of all training images take in one process."""
    cut = facts.model.cut(stage)
    return _BYTES * facts.data.train_images * prod(cut.features) if cut else 0


def feature_notes(facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """What is kept, and which layers that leaves out."""
    return [
        f"stage {stage.index + 1} computes the features of all {facts.data.train_images:,} images once and trains the "
        f"{'rest' if stage.frozen_layers < facts.model.body_layers else 'head'} on them "
        f"({features_bytes(facts, stage) / _GIB:.2g} GiB); what is frozen draws no dropout"
        for stage in stages
        if stage.keeps_features
    ]


def looks_at_batches(recipe: Recipe, own_selector: bool) -> bool:
    """Whether samples are chosen among loaded images, batch by batch; of a selector of one's own nobody knows."""
    return own_selector or (isinstance(recipe.select, InBatchParams) and recipe.select.is_fresh)


def side_problems(recipe: Recipe, stages: Sequence[Stage], own_selector: bool) -> list[str]:
    """Ramps beside a choice in the batch, whose samples wait for others that may have another side."""
    if not looks_at_batches(recipe, own_selector):
        return []
    return [
        f'stages.{stage.index}.ramp = "timm" beside a selection in the batch, which joins images of several batches; '
        "take a method that chooses before the epoch, or stages of one side each"
        for stage in stages
        if stage.ramp
    ]


def _obstacle(recipe: Recipe, facts: Facts, stage: Stage, own_selector: bool) -> str:
    """Why a stage cannot keep features, and what would help; empty where it can."""
    if not stage.frozen_layers:
        return "only a stage with frozen layers can keep features; freeze some"
    if tasks.module(recipe.task.name).ANNOTATIONS != "classes":
        return f'the boxes or masks of task.name = "{recipe.task.name}" are not kept with features; leave it out'
    if stage.ramp:
        return "batches have several sides; leave ramp out of this stage"
    if facts.model.cut(stage) is None:
        return f'"{recipe.model.name}" cannot be cut there: the rest needs more than one tensor; freeze other layers'
    if recipe.augment != AugmentRecipe() and (stage.strength, stage.last_strength or 0.0) != (0.0, 0.0):
        return "images look different in every epoch; set strength = 0 in this stage"
    if recipe.augment.mixes and stage.mix:
        return "batches are mixed; set mix = 0 in this stage"
    if looks_at_batches(recipe, own_selector):
        return "the selection method looks at the images of every batch; take another"
    return ""
