"""Why a recipe is refused once data, model and machine are known: in sentences that say what would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.types import Stage

if TYPE_CHECKING:
    from fewer.plan.plan import Facts, Plan
    from fewer.recipe.schema import Recipe


def mismatches(recipe: Recipe, facts: Facts, stages: tuple[Stage, ...]) -> list[str]:
    """What in a recipe does not fit the data, the model or the machine."""
    problems = list(facts.problems)
    if len(facts.classes) < 2:
        problems.append(f"data.source: {len(facts.classes)} class; a classifier needs two or more class folders")
    for stage in stages:
        name = f"stages.{stage.index}" if recipe.stages else "train"
        if stage.batch_size > facts.train_images:
            problems.append(
                f"{name}.batch_size = {stage.batch_size} is larger than the {facts.train_images} training images; "
                f"use at most {facts.train_images}"
            )
        if stage.batch_size // (recipe.train.accumulate * facts.ranks) < 2:
            problems.append(
                f"{name}.batch_size = {stage.batch_size} over {facts.ranks} ranks and {recipe.train.accumulate} "
                f"micro-batches leaves fewer than two images for one forward; "
                f"use {2 * recipe.train.accumulate * facts.ranks} or more"
            )
    scorer_px = facts.scoring_side_px
    if scorer_px and scorer_px > (smallest := min(stage.side_px for stage in stages)):
        key = "select.scorer_side_px" if hasattr(recipe.select, "scorer_side_px") else "the selector's scoring_side_px"
        text = f"{key} = {scorer_px} is larger than the images that are trained on ({smallest} px)"
        problems.append(f"{text}; use at most {smallest}, or leave it out")
    return problems


def exceeds_plain_cost(plan: Plan) -> str:
    """Says that reference losses make a run dearer than plain training: a warning, not a refusal."""
    full_flops = plan.budget.full_flops
    if not plan.facts.reference or plan.predicted["flops"][0] <= full_flops:
        return ""
    epochs, plain = (flops / plan.plain_epoch_flops for flops in (plan.predicted["flops"][0], full_flops))
    text = f"warning: with its reference losses this run costs more than plain training: {epochs:.2f} FEE > {plain:.2f}"
    return f"{text}; a finished run as select.reference costs one forward of all images"
