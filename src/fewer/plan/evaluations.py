"""The evaluations of a run: validation during training, what is measured once at its end, and BatchNorm for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewer.core.evaluation import Evaluate
from fewer.core.types import Stage
from fewer.optim import renews_statistics
from fewer.plan.facts import Facts
from fewer.recipe.schema import Recipe
from fewer.select.method_params import OFF, ScoredParams


def evaluations_of(
    stages: Sequence[Stage], every: int, has_val: bool, has_test: bool, is_averaged: bool
) -> tuple[Evaluate, ...]:
    """The evaluations that a run makes, in their order.

    Each stage is validated at its own evaluation side, since a model that was trained on small images means little on
    large ones; what is published is evaluated at the side of the last stage.

    Args:
        stages: The run's stages.
        every: Epochs between two validations; 0: only at the end.
        has_val: Whether there are validation images.
        has_test: Whether there are test images.
        is_averaged: Whether the weights that are published are averages.
    """
    side_px, found = evaluation_side_px(stages), list[Evaluate]()
    if has_val:
        found.append(Evaluate("val", "val", every=every))
        # The published model is a point of its own, not one of the curve over the epochs.
        found.append(Evaluate("val/best", "val", "best", side_px=side_px))
    if has_test:
        found.append(Evaluate("test", "test", "best", side_px=side_px))
        found.append(Evaluate("test/last", "test", "last", side_px=side_px))
        if is_averaged:
            found.append(Evaluate("test/raw", "test", "last", "raw", "running", side_px))
    return tuple(found)


def evaluation_side_px(stages: Sequence[Stage]) -> int:
    """The side that models are published for and compared at: that of the last stage's evaluations."""
    return stages[-1].evaluation_side_px


def validated_stages(stages: Sequence[Stage], every: int) -> list[Stage]:
    """The stage of every epoch that is validated during training: each `every`-th epoch, and the last."""
    epochs = [stage for stage in stages for _ in range(stage.epochs)]
    return [stage for past, stage in enumerate(epochs, 1) if (every and past % every == 0) or past == len(epochs)]


@dataclass(frozen=True, slots=True)
class Reestimation:
    """When BatchNorm's statistics are estimated again for an evaluation, since those of training do not fit it.

    They do not after an epoch at another side, nor after one on a part of the images that a method chose by scores,
    nor do they fit weights that are averaged over the tail of the run.

    Attributes:
        images: Training images that they are estimated from; 0: never.
        guards: Whether the method that chooses asks for it after an epoch on a part of the images.
        averaged: Whether the average of the weights asks for it, from some moment on.
    """

    images: int
    guards: bool
    averaged: bool = False

    @property
    def depends(self) -> bool:
        """Whether what happens in the run decides about it, and not its stages alone."""
        return self.guards or self.averaged

    def at_side(self, stage: Stage) -> bool:
        """Whether a stage is evaluated at another side than it trains at, if only in some of its batches."""
        return bool(self.images) and stage.sides_px != (stage.evaluation_side_px,)

    def at_published_side(self, stages: Sequence[Stage], has_val: bool) -> tuple[bool, bool]:
        """Whether the published model surely comes, and whether it may come, from epochs at another side.

        With validation images it comes from any stage that is evaluated at the side of the last.
        """
        compete = [stage for stage in stages if stage.evaluation_side_px == evaluation_side_px(stages)]
        found = [self.at_side(stage) for stage in (compete if has_val else stages[-1:])]
        return all(found), any(found)

    def kept_sides_px(self, stages: Sequence[Stage], has_val: bool) -> tuple[int, ...]:
        """The sides of training images that stay decoded in memory at once, of the stage that wants most pixels.

        They are all that its batches may draw, and that of evaluation where another is trained on: each change of side
        would else decode all images again.
        """
        wanted = list[tuple[int, ...]]()
        for stage in stages:
            evaluated = {stage.evaluation_side_px} if has_val and self.at_side(stage) else set[int]()
            wanted.append(tuple(sorted({*stage.sides_px, *evaluated})))
        return max(wanted, key=lambda sides: (len(sides), sum(side**2 for side in sides)))


def reestimation_of(recipe: Recipe, facts: Facts, own_selector: str) -> Reestimation:
    """How BatchNorm's statistics are estimated in a run."""
    if not facts.model.batchnorm:
        return Reestimation(0, guards=False)
    images = min(recipe.evaluate.batchnorm_images, facts.data.train_images)
    is_guarded = not own_selector and isinstance(recipe.select, ScoredParams) and recipe.select.guards != OFF
    averaged = images > 0 and renews_statistics(recipe.train)
    return Reestimation(images, guards=images > 0 and is_guarded, averaged=averaged)
