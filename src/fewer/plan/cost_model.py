"""What a plan will cost, in the entries of the ledger. Pure functions of a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewer.core.types import WORST_SAMPLES, At, Expectation

if TYPE_CHECKING:
    from fewer.plan.plan import Plan

MOMENTS_IMAGES = 10_000  # training images that the channels' mean and standard deviation are taken from, at most
PREVIEW_ROWS, PREVIEW_VIEWS = 8, 6  # samples of a stage that a person is shown, and epochs' views of each


@dataclass(frozen=True, slots=True)
class Reference:
    """What reference losses take before the first epoch.

    Attributes:
        side_px: Side of the images that they are computed from.
        costs: Ledger keys, over all ranks.
        weights: SHA-256 of the file of the model that is given; empty where proxies are trained.
    """

    side_px: int
    costs: Mapping[str, int]
    weights: str = ""


def predicted(plan: Plan, expects: Callable[[At], Expectation], packs: bool) -> dict[str, tuple[float, float]]:
    """Ledger keys with their lowest and highest value; equal where nothing decides during the run.

    Args:
        plan: The plan, complete but for this.
        expects: The selector's expectation of an epoch.
        packs: Whether the selector's batches are full ones.
    """
    share = plan.budget.first_share(expects)
    told = [expects(plan.at(epoch, share=share)) for epoch in range(plan.epochs)]
    epochs = [_priced(plan, epoch, expected, packs) for epoch, expected in enumerate(told)]
    totals = {key: (sum(e[key][0] for e in epochs), sum(e[key][1] for e in epochs)) for key in epochs[0]}
    totals = {**totals, **_handed_over(plan, totals, told[-1])}
    if plan.facts.reference:
        before = plan.facts.reference.costs
        totals = {key: (low + before.get(key, 0), high + before.get(key, 0)) for key, (low, high) in totals.items()}
    flops, trained = totals["flops"], totals["samples_backpropagated"]
    first = min(plan.recipe.model.first_images, plan.facts.train_images) * plan.facts.ranks
    loaded = totals["samples_loaded"][0] + first, totals["samples_loaded"][1] + first
    return {
        **totals,
        "samples_loaded": loaded,
        "samples_decoded": _decoded(plan, *loaded),
        "effective_epochs": (trained[0] / plan.facts.train_images, trained[1] / plan.facts.train_images),
        "full_epoch_equivalents": (flops[0] / plan.plain_epoch_flops, flops[1] / plan.plain_epoch_flops),
    }


def _handed_over(
    plan: Plan, totals: dict[str, tuple[float, float]], last: Expectation
) -> dict[str, tuple[float, float]]:
    """Entries that BatchNorm's new statistics add to, where the last epoch leaves something out, or may."""
    surely, perhaps = last.kept_high < 1, last.kept_low < 1
    images = float(plan.batchnorm_images)  # every rank looks at them, and forwards are counted once
    loaded = images * plan.facts.ranks
    extra = {"flops": plan.batchnorm_flops, "samples_forwarded": images, "samples_loaded": loaded}
    return {key: (totals[key][0] + surely * more, totals[key][1] + perhaps * more) for key, more in extra.items()}


def _decoded(plan: Plan, loaded_low: float, loaded_high: float) -> tuple[float, float]:
    """Fewest and most images decoded, over all ranks: in memory once for every side, else whenever one is looked at."""
    facts, recipe = plan.facts, plan.recipe
    if plan.loading.in_memory:
        sides = [stage.side_px for stage in plan.stages]
        if facts.reference:
            sides = [sides[0], facts.reference.side_px, *sides]
        changes = sum(1 for before, side in zip([None, *sides], sides, strict=False) if before != side)
        times = 1 if recipe.augment.crop == "random_resized" else changes
        once = float(times * facts.train_images + facts.val_images + facts.test_images) * facts.ranks
        return once, once
    every = recipe.out.evaluate_every
    validations = len({*range(every, plan.epochs + 1, every), plan.epochs} if every else {plan.epochs}) + 1
    tests = 1 + (recipe.train.ema != "off")
    once = validations * facts.val_images + tests * facts.test_images + _shown(plan)
    moments = min(MOMENTS_IMAGES, facts.train_images) * facts.ranks
    # Quarantine decodes all to find the damaged ones, unless it is known already; the last model may differ from the
    # best, and is then tested too.
    images = facts.train_images + facts.val_images + facts.test_images
    checked = images * facts.ranks if recipe.data.damaged == "quarantine" else 0
    again = facts.test_images if facts.val_images else 0
    if facts.val_images:  # statistics of BatchNorm are estimated anew before each evaluation
        again += validations * plan.batchnorm_images * facts.ranks
    return loaded_low + once + moments, loaded_high + once + moments + checked + again


def _shown(plan: Plan) -> int:
    """Images that are looked at for a person: training views of every stage, and the worst samples."""
    if not plan.recipe.out.previews:
        return 0
    rows = min(PREVIEW_ROWS, plan.facts.train_images)
    views = sum(1 + min(PREVIEW_VIEWS, stage.epochs) for stage in plan.stages)
    return rows * views + min(WORST_SAMPLES, plan.facts.test_images or plan.facts.val_images)


def _priced(plan: Plan, epoch: int, expects: Expectation, packs: bool) -> dict[str, tuple[float, float]]:
    """Lowest and highest ledger entries of one epoch."""
    images, stage = plan.facts.train_images, plan.stage(epoch)

    def bounds(entry: Callable[[int], float]) -> tuple[float, float]:
        return entry(round(expects.kept_low * images)), entry(round(expects.kept_high * images))

    scored = round(expects.scored * images)
    low, high = bounds(lambda kept: float(max(kept, scored)))
    return {
        # With several ranks one may lack what another has loaded and scored, and loads it again.
        "samples_loaded": (low, high + (scored if plan.facts.ranks > 1 else 0)),
        "samples_forwarded": bounds(lambda kept: float(kept + scored)),
        "samples_backpropagated": bounds(float),
        "optimizer_steps": bounds(lambda kept: float(kept and len(plan.batch_sizes(kept, stage, packs)))),
        "flops": plan.budget.epoch_flops(epoch, expects),
    }
