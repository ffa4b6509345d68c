"""Savings by freezing: told before the run, and refused where they are next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from fewer.core.types import Stage
from fewer.plan.facts import Facts
from fewer.recipe.schema import Recipe
from fewer.select.budget import Budget

LEAST_SAVING = 0.05  # of a stage's arithmetic: less is not worth what freezing costs in accuracy


def saving(facts: Facts, stage: Stage) -> float:
    """The share of a sample's FLOPs that a stage's freezing saves."""
    whole, frozen = (
        facts.model.sample_flops(stage.side_px, stage.first_epoch, count).training for count in (0, stage.frozen_layers)
    )
    return 1 - frozen / whole


def freezing_problems(recipe: Recipe, facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """Stages that freeze for next to nothing."""
    problems = []
    for stage, asked in zip(stages, recipe.stages, strict=False):
        if not stage.frozen_layers or asked.frozen_anyway or (saved := saving(facts, stage)) >= LEAST_SAVING:
            continue
        names = ", ".join(f'"{name}"' for name in asked.frozen)
        key = f"stages.{stage.index}.frozen"
        problems.append(
            f"{key} = [{names}] saves {saved:.1%} of the stage's FLOPs ({_layers(facts, stage)}), less than "
            f"{LEAST_SAVING:.0%}; freeze more, or set {key}_anyway = true"
        )
    return problems


def freezing_notes(facts: Facts, stages: Sequence[Stage], budget: Budget) -> list[str]:
    """What each stage freezes and saves, and what that is of the whole run."""
    notes, saved, whole = [], 0.0, 0.0
    for stage in stages:
        epochs = range(stage.first_epoch, stage.first_epoch + stage.epochs)
        unfrozen = sum(
            budget.shown(epoch) * facts.model.sample_flops(stage.side_px, epoch).training for epoch in epochs
        )
        spared = unfrozen - sum(map(budget.work, epochs))
        whole, saved, share = whole + unfrozen, saved + spared, spared / unfrozen
        if stage.frozen_layers:
            first, *others = filter(None, facts.model.layers[: stage.frozen_layers])  # a class token has no layer
            names = f"{first} to {others[-1]}" if others else first
            notes.append(f"stage {stage.index + 1} freezes {names} ({_layers(facts, stage)}): {share:.0%} fewer FLOPs")
    return [*notes, f"freezing saves {saved / whole:.1%} of the run's FLOPs"] if notes else []


def _layers(facts: Facts, stage: Stage) -> str:
    return f"{stage.frozen_layers} of {len(facts.model.layers)} layers"
