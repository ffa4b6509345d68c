"""Checks of a budget before the first step: costs that cannot be met, epochs too small to train on, mostly scoring."""

from __future__ import annotations

import math

from fewer.select.budget import Budget, Expected


def budget_too_small(budget: Budget, expected: Expected, method: str, cheaper: str = "") -> str:
    """The problem where the asked cost is less than the method can do with; else nothing.

    Args:
        budget: The run's budget.
        expected: What the selector expects of an epoch.
        method: The method's name.
        cheaper: How what comes before the first epoch could cost less, in the imperative; often nothing.
    """
    if budget.cost is None or (least := budget.smallest_cost(expected)) <= budget.cost:
        return ""
    allowed = math.ceil(least * 1000) / 1000
    text = f'select.cost = {budget.cost}: select.method = "{method}" cannot do with less than {allowed:g} of the full'
    fix = f"use {allowed:g} or more" if allowed <= 1 else "leave select.cost out"
    if cheaper:
        fix += f", {cheaper}"
    reason = "epochs on all images, scoring, what comes before them and class floors come to more"
    return f"{text} cost here ({reason}); {fix}, or train more epochs"


def too_few_samples(budget: Budget, expected: Expected, method: str) -> str:
    """The problem where an epoch would surely hold fewer than two images; else nothing."""
    level = budget.first_level(expected)
    for epoch in range(budget.epochs):
        images = budget.shown(epoch)
        kept = round(expected(budget.at(epoch, level)).kept_high * images)
        if kept < 2:
            text = f'select.method = "{method}" keeps {kept} of the {images} training images in epoch'
            return f"{text} {epoch + 1}; an epoch needs two or more: let it keep more, or let it cost more"
    return ""


def mostly_scored(budget: Budget, expected: Expected) -> str:
    """A warning where an asked cost buys more scoring than training in some epoch; else nothing."""
    if budget.cost is None:
        return ""
    level = budget.first_level(expected)
    for epoch in range(budget.epochs):
        expectation = expected(budget.at(epoch, level))
        scoring = expectation.scored * budget.scoring_flops[epoch]
        if scoring > expectation.kept_high * budget.training_flops[epoch]:
            text = f"warning: select.cost = {budget.cost:g} buys more scoring than training in epoch {epoch + 1}"
            fix = 'a higher cost, or select.score = "stale" where the method has it, trains on more'
            return f"{text}, which trains on {expectation.kept_high:.2f} of the images; {fix}"
    return ""
