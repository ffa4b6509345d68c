"""Compilation of a recipe into a plan: checks, stages, budget, predicted cost, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewer.core.errors import RecipeError
from fewer.core.spending import seconds_of
from fewer.core.types import At, Expectation, Stage
from fewer.data.listing.class_summary import class_line
from fewer.machine.precision import auto_channels_last, auto_precision
from fewer.optim import evaluates_average
from fewer.plan import checks
from fewer.plan.batch_ramp import growth_note, growth_problems, with_growth
from fewer.plan.cost_model import CostModel, budget_of
from fewer.plan.course import earliest_end, of_epochs
from fewer.plan.digest import digest_of
from fewer.plan.evaluations import evaluations_of, reestimation_of
from fewer.plan.execution import device_settings_of, loading_of
from fewer.plan.facts import Facts, Preparation
from fewer.plan.features import feature_notes, feature_problems, side_problems, with_features
from fewer.plan.freezing import freezing_notes
from fewer.plan.lr_finder import costs_of, finder_note, finds_lr
from fewer.plan.plan import Plan
from fewer.plan.rates import scaling_note, with_rates
from fewer.plan.savings import saves_little, stage_costs
from fewer.plan.sharing import sharing_note, too_few_steps
from fewer.plan.stages import stages_of
from fewer.recipe.schema import Recipe
from fewer.select.budget import Budget, Expected, asked_cost, asked_oscillation
from fewer.select.budget_checks import budget_too_small, mostly_scored, too_few_samples


def compile_plan(
    recipe: Recipe,
    facts: Facts,
    expected: Expected | None = None,
    own_selector: str = "",
    packs: bool = True,
) -> Plan:
    """Decides all that can be decided before the first step.

    Args:
        recipe: What the user asked.
        facts: What is known of data, model and machine; `facts.model.flops` must hold every side of `stages_of`.
        expected: The selector's own expectation of an epoch; everything is trained on if left out.
        own_selector: Name of a selector that the caller brought in place of the recipe's.
        packs: Whether the selector's batches are full ones; else there are as many as plain training has.

    Raises:
        RecipeError: With everything in the recipe that does not fit the facts, or a budget that is no epochs yet.
    """
    if recipe.train.budget != "off" and seconds_of(recipe.train.budget) is None:
        raise RecipeError(
            f'train.budget = "{recipe.train.budget}" is not in epochs yet: `fewer.fit` and `fewer plan` turn it into '
            "epochs; give train.epochs here"
        )
    expected = expected or _everything
    recipe = _resolved(recipe, facts)
    stages = _stages(recipe, facts, bool(own_selector))
    has_val, has_test = facts.data.val_images > 0, facts.data.test_images > 0
    is_averaged = evaluates_average(recipe.train)
    evaluations = evaluations_of(stages, recipe.evaluate.every, has_val, has_test, is_averaged)
    reestimation = reestimation_of(recipe, facts, own_selector)
    finder_flops = costs_of(recipe, facts, stages[0])["flops"][1] if finds_lr(recipe) else 0.0
    cost = None if own_selector else asked_cost(recipe.select)
    oscillation = asked_oscillation(recipe.select, recipe.epochs)
    budget = budget_of(facts, stages, cost, reestimation, finder_flops, packs, oscillation)
    method = own_selector or recipe.select.model_dump()["method"]
    _require_enough(budget, expected, method, facts.preparation, 'train.lr = "auto"' if finds_lr(recipe) else "")
    loading = loading_of(recipe, facts.data, facts.machine, stages, reestimation.kept_sides_px(stages, has_val))
    costs = CostModel(recipe, facts, stages, budget, evaluations, reestimation, loading.in_memory, bool(own_selector))
    predicted = _predicted(costs, expected, earliest_end(recipe, stages) if has_val else budget.epochs)
    of_images = [budget.of_images(epoch) for epoch in range(budget.epochs)]
    shown = stage_costs(facts, stages, [(flops, flops) for flops in of_images])
    warnings = (
        saves_little(stages, shown),
        checks.unusual_lr(recipe, facts),
        checks.few_validation_images(recipe, facts),
        checks.crashes_with_channels_last(recipe, facts),
        checks.waits_for_compiler(recipe),
        checks.exceeds_plain_cost(facts, budget, predicted),
        mostly_scored(budget, expected),
        too_few_steps(recipe, facts, predicted["optimizer_steps"][1], budget.epochs),
    )
    return Plan(
        recipe=recipe,
        facts=facts,
        stages=stages,
        precision=recipe.train.precision,
        channels_last=recipe.train.channels_last == "yes",
        digest=digest_of(recipe, facts, own_selector),
        budget=budget,
        loading=loading,
        device_settings=device_settings_of(recipe, facts.machine.device, loading),
        evaluations=evaluations,
        reestimation=reestimation,
        predicted=predicted,
        stage_costs=stage_costs(facts, stages, costs.epochs_flops(expected)),
        own_selector=own_selector,
        notes=(
            *recipe.notes,
            _class_line(facts),
            *facts.data.notes,
            *facts.model.notes,
            *_notes(recipe, facts, stages),
            *freezing_notes(facts, stages, budget),
            *feature_notes(facts, stages),
            *filter(None, warnings),
        ),
    )


def _stages(recipe: Recipe, facts: Facts, own_selector: bool) -> tuple[Stage, ...]:
    """The stages with all that is decided of each.

    Raises:
        RecipeError: With everything in the recipe that does not fit them or the facts.
    """
    stages = stages_of(recipe, facts.data.native_side_px, facts.model.frozen_layers)
    stages = with_rates(recipe, with_growth(recipe, stages), facts.data.train_images)
    stages = with_features(recipe, facts, stages, own_selector)
    problems = (
        *checks.mismatches(recipe, facts, stages),
        *growth_problems(recipe, facts, stages),
        *side_problems(recipe, stages, own_selector),
        *feature_problems(recipe, facts, stages, own_selector),
    )
    if problems:
        raise RecipeError(list(problems))
    return stages


def _predicted(costs: CostModel, expected: Expected, earliest: int) -> dict[str, tuple[float, float]]:
    """The whole run's cost; where patience may end it earlier, lowest is that of the earliest end."""
    whole = costs.predicted(expected)
    if earliest >= costs.budget.epochs:
        return whole
    stages, budget = of_epochs(costs.stages, costs.budget, earliest)
    early = replace(costs, stages=stages, budget=budget).predicted(expected)
    return {key: (min(early[key][0], low), high) for key, (low, high) in whole.items()}


def _everything(at: At) -> Expectation:
    return Expectation(1.0, 1.0)


def _resolved(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe with what `auto` became on this machine, so that a resumed run keeps it elsewhere."""
    train, precision = recipe.train, recipe.train.precision
    if precision == "auto":
        precision = auto_precision(facts.machine.device, facts.machine.bf16, facts.model.depthwise_share)
    store = facts.data.store.place if facts.data.store else "none"
    layout = train.channels_last
    if layout == "auto":
        layout = auto_channels_last(facts.machine.device, precision, facts.model.narrow_strides)
    return recipe.model_copy(
        update={
            "train": train.model_copy(update={"precision": precision, "channels_last": layout}),
            "data": recipe.data.model_copy(update={"store": store}),
        }
    )


def _require_enough(budget: Budget, expected: Expected, method: str, first: Preparation | None, finds: str) -> None:
    """Refuses a cost that cannot be met, and epochs of next to nothing."""
    cheaper = first.cheaper if first else ""
    problem = budget_too_small(budget, expected, method, cheaper) or too_few_samples(budget, expected, method)
    if problem:
        raise RecipeError(problem + (f"; the finder of {finds} is part of the cost" if finds else ""))


def _class_line(facts: Facts) -> str:
    """The classes, with their images or boxes."""
    data = facts.data
    if data.class_objects:
        return class_line(data.classes, data.class_objects, "boxes of each")
    return class_line(data.classes, data.class_images)


def _notes(recipe: Recipe, facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """What becomes of the images, what training metrics say of mixed ones, and what comes before the training."""
    native = facts.data.native_side_px
    of_batches = sharing_note(recipe, facts, stages), scaling_note(recipe, stages), growth_note(recipe, stages)
    notes = list(filter(None, of_batches))
    if seconds_of(recipe.train.budget) is not None:
        epochs = f"{recipe.epochs} epoch{'' if recipe.epochs == 1 else 's'}"
        notes.append(f'train.budget = "{recipe.train.budget}": the clock decides; {epochs} are a first guess')
    if sides := sorted({side for stage in stages for side in stage.sides_px} - {native}):
        smaller, larger = ([each for each in sides if (each > native) is grows] for grows in (False, True))
        ways = [
            f"{verb} to {', '.join(map(str, some))} px"
            for verb, some in (("reduced", smaller), ("enlarged", larger))
            if some
        ]
        notes.append(f"images of {native} px are {' and '.join(ways)}")
    if recipe.augment.blends:
        notes.append("metrics of training say how often a mixed image is taken for what it shows most of")
    if finds_lr(recipe):
        notes.append(finder_note(recipe, facts, stages[0]))
    if before := facts.preparation:
        fee = before.flops / facts.plain_epoch_flops
        notes.append(f"{before.name} come first, by {before.by}: {fee:.2f} FEE")
    return notes
