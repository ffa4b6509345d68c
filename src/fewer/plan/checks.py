"""Why a recipe is refused once data, model and machine are known: in sentences that say what would do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from fewer.core.types import At, Expectation, Stage
from fewer.plan.budget import affordable_share, smallest_cost

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


def budget_too_small(plan: Plan, expects: Callable[[At], Expectation]) -> str:
    """What is wrong where the stated cost is less than the method can do with; else nothing."""
    if plan.cost is None or (least := smallest_cost(plan, expects)) <= plan.cost:
        return ""
    allowed = math.ceil(least * 1000) / 1000
    text = f'select.cost = {plan.cost}: select.method = "{plan.recipe.select.model_dump()["method"]}" cannot do with'
    fix = f"use {allowed:g} or more" if allowed <= 1 else "leave select.cost out"
    if plan.facts.reference and not plan.facts.reference.weights:
        fix += ", give select.reference a model, shorten select.proxy_epochs"
    reason = "epochs on all images, scoring, reference losses and class floors come to more"
    return f"{text} less than {allowed:g} of the full cost here ({reason}); {fix}, or train more epochs"


def too_few_samples(plan: Plan, expects: Callable[[At], Expectation]) -> str:
    """What is wrong where an epoch would surely hold fewer than two images; else nothing."""
    images, share = plan.facts.train_images, affordable_share(plan, expects, 0, plan.reference_flops)
    for epoch in range(plan.epochs):
        kept = round(expects(plan.at(epoch, share=share)).kept_high * images)
        if kept < 2:
            method = plan.own_selector or plan.recipe.select.model_dump()["method"]
            text = f'select.method = "{method}" keeps {kept} of the {images} training images in epoch {epoch + 1}'
            return f"{text}; an epoch needs two or more: let it keep more, or let it cost more"
    return ""


def mostly_scored(plan: Plan, expects: Callable[[At], Expectation]) -> str:
    """Says that a stated cost goes into looking rather than into training: a warning, not a refusal."""
    if plan.cost is None:
        return ""
    share = affordable_share(plan, expects, 0, plan.reference_flops)
    for epoch in range(plan.epochs):
        told, flops = expects(plan.at(epoch, share=share)), plan.sample_flops(epoch)
        scoring, training = told.scored * plan.scoring_flops(epoch), told.kept_high * (flops.forward + flops.backward)
        if scoring > training:
            text = f"warning: select.cost = {plan.cost:g} buys more scoring than training in epoch {epoch + 1}"
            fix = 'a higher cost, or select.score = "stale" where the method has it, trains on more'
            return f"{text}, which trains on {told.kept_high:.2f} of the images; {fix}"
    return ""


def exceeds_plain_cost(plan: Plan) -> str:
    """Says that reference losses make a run dearer than plain training: a warning, not a refusal."""
    if not plan.facts.reference or plan.predicted["flops"][0] <= plan.full_flops:
        return ""
    epochs, plain = (flops / plan.plain_epoch_flops for flops in (plan.predicted["flops"][0], plan.full_flops))
    text = f"warning: with its reference losses this run costs more than plain training: {epochs:.2f} FEE > {plain:.2f}"
    return f"{text}; a finished run as select.reference costs one forward of all images"
