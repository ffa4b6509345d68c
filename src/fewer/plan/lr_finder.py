"""The learning-rate finder as a plan sees it: when it runs, over which rates, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from fewer.core.allocation import batch_sizes
from fewer.core.types import Stage
from fewer.optim import usual_lr_of
from fewer.plan.facts import Facts
from fewer.recipe.schema import AUTO_LR, Recipe

REPEATS = 3
STEPS = 100  # of a sweep
FEWEST_STEPS = 20  # that a sweep takes before it may end early
_BELOW, _ABOVE = 10.0, 20.0  # times outside what is usual for the optimizer
_ANY = 1e-5, 10.0  # for an optimizer that states no usual rates

Bounds = dict[str, tuple[float, float]]  # ledger keys with their lowest and highest value


@dataclass(frozen=True, slots=True)
class Range:
    """The rates of a sweep.

    Attributes:
        low, high: The first and the last rate.
        steps: How many there are, each larger than the one before by the same factor.
    """

    low: float
    high: float
    steps: int = STEPS

    def at(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        share = min(step, self.steps - 1) / (self.steps - 1)
        return float(self.low * (self.high / self.low) ** share)


def range_of(recipe: Recipe, facts: Facts, steps: int = STEPS) -> Range:
    """The rates to try: a decade more than is usual for the optimizer on both sides."""
    usual = usual_lr_of(recipe.train, "given" if facts.model.weights else "random")
    low, high = (usual[0] / _BELOW, usual[1] * _ABOVE) if usual else _ANY
    return Range(low, high, steps)


def finds_lr(recipe: Recipe) -> bool:
    """Whether a finder is to run before the training."""
    return recipe.train.lr == AUTO_LR


def sweep_images(facts: Facts, stage: Stage, steps: int = STEPS) -> int:
    """Different images of a sweep: as many as its batches hold, or all of them, then several times."""
    return min(facts.data.train_images, steps * stage.batch_size)


def too_few_images(facts: Facts, stage: Stage) -> str:
    """What is wrong where one batch holds more than half of the images, with a fix; else nothing."""
    images, size = facts.data.train_images, stage.batch_size
    if images >= 2 * size:
        return ""
    fix = f"use batches of {max(2, images // 2)}, or give train.lr a number"
    return f"a learning rate is found on different batches, and one of {size} holds most of the {images} images; {fix}"


def costs_of(recipe: Recipe, facts: Facts, stage: Stage, steps: int = STEPS, repeats: int = REPEATS) -> Bounds:
    """Ledger entries of a finder: sweeps end early where the loss runs away.

    A stage that keeps features keeps those of a sweep's images, too: they are looked at once, at its beginning.
    """
    images = sweep_images(facts, stage, steps)
    sizes = batch_sizes(images, stage.batch_size, images)
    epochs = -(-steps // len(sizes))
    fewest, most = min(FEWEST_STEPS, steps), steps
    seen_low, seen_high = fewest * sizes[-1] * repeats, sum((sizes * epochs)[:most]) * repeats
    each = [facts.model.trained_flops(stage, at) for at in range(epochs)]
    per_image, per_step = [flops.training for flops in each], [flops.step * repeats for flops in each]
    first = min(recipe.model.first_images, facts.data.train_images) * repeats * facts.machine.processes
    kept = images * repeats if stage.keeps_features else 0
    kept_flops = kept * facts.model.sample_flops(stage.side_px, 0).forward
    loaded = (kept, kept) if kept else (seen_low, seen_high)
    return {
        "samples_loaded": (loaded[0] + first, loaded[1] + first),
        "samples_forwarded": (seen_low + kept, seen_high + kept),
        "samples_backpropagated": (seen_low, seen_high),
        "optimizer_steps": (fewest * repeats, most * repeats),
        "flops": (
            kept_flops + seen_low * min(per_image) + fewest * min(per_step),
            kept_flops + seen_high * max(per_image) + most * max(per_step),
        ),
    }


def finder_note(recipe: Recipe, facts: Facts, stage: Stage) -> str:
    """What a plan says of a finder that is to run."""
    rates = range_of(recipe, facts)
    low, high = (flops / facts.plain_epoch_flops for flops in costs_of(recipe, facts, stage)["flops"])
    return (
        f'train.lr = "auto": {REPEATS} sweeps of up to {rates.steps} steps over rates from {rates.low:g} to '
        f"{rates.high:g} come first: {low:.2f} to {high:.2f} FEE"
    )
