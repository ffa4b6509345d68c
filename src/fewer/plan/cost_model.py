"""The cost model: what a run will cost, in the entries of the ledger, from facts and stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fewer.core.evaluation import Evaluate
from fewer.core.types import Expectation, Stage
from fewer.data.decode.jpeg import FRACTIONS
from fewer.plan.evaluations import Reestimation, evaluation_side_px, validated_stages
from fewer.plan.facts import Facts, workers_of
from fewer.plan.features import looks_at_batches
from fewer.plan.lr_finder import costs_of, finds_lr
from fewer.plan.shown import SUSPECTED_IMAGES, shown_of
from fewer.plan.stages import data_shares, stage_of
from fewer.recipe.schema import Recipe
from fewer.select.budget import Budget, Expected
from fewer.select.data_share import shown_images
from fewer.select.method_params import ScoredParams
from fewer.select.oscillation import STEADY, Oscillation

MOMENTS_IMAGES = 10_000  # training images that the channels' mean and standard deviation are taken from, at most
_LARGER = 2  # times the median side that images may have

Costs = dict[str, tuple[float, float]]
"""Ledger keys with their lowest and highest value; equal where nothing decides during the run."""


def budget_of(
    facts: Facts,
    stages: Sequence[Stage],
    cost: float | None,
    reestimation: Reestimation,
    finder_flops: float = 0.0,
    packs: bool = False,
    oscillation: Oscillation = STEADY,
) -> Budget:
    """The budget of a run.

    Args:
        facts: What is known of data, model and machine.
        stages: The run's stages.
        cost: The share of the full cost that was asked for, where one was.
        reestimation: When BatchNorm's statistics are estimated again.
        finder_flops: What a learning-rate finder costs before the first epoch, at most.
        packs: Whether the selector's batches are full ones.
        oscillation: How the share that the cost pays for goes down and up.
    """
    model, always = facts.model, reestimation.at_side(stages[-1]) or reestimation.averaged
    moments = [(stage, stage.first_epoch + nth) for stage in stages for nth in range(stage.epochs)]
    shown = tuple(shown_images(facts.data.class_images or (facts.data.train_images,), data_shares(stages)))
    renewed = reestimation_flops(facts, stages, reestimation)
    return Budget(
        images=facts.data.train_images,
        training_flops=tuple(model.mean_training_flops(*moment, shown[moment[1]]) for moment in moments),
        scoring_flops=tuple(model.scoring_flops(stage.side_px, epoch) for stage, epoch in moments),
        cost=cost,
        before_flops=facts.preparation_flops + finder_flops,
        after_flops=renewed if always else 0.0,
        after_partial_flops=renewed if reestimation.guards and not always else 0.0,
        feature_flops=tuple(
            facts.data.train_images * model.sample_flops(stage.side_px, epoch).forward * _computes(stage, epoch)
            for stage, epoch in moments
        ),
        shown_images=shown,
        step_flops=tuple(model.trained_flops(stage, epoch).step for stage, epoch in moments),
        batch_sizes=tuple(stage.batch_size_at(epoch) for stage, epoch in moments),
        packs=packs,
        oscillation=oscillation,
    )


def _computes(stage: Stage, epoch: int) -> bool:
    """Whether an epoch begins with a forward of all images, whose features are kept."""
    return stage.keeps_features and epoch == stage.first_epoch


def reestimation_flops(facts: Facts, stages: Sequence[Stage], reestimation: Reestimation) -> float:
    """What BatchNorm's statistics of the published model cost, where they are estimated again."""
    if not reestimation.images:
        return 0.0
    last_epoch = stages[-1].first_epoch + stages[-1].epochs - 1
    return float(reestimation.images * facts.model.sample_flops(evaluation_side_px(stages), last_epoch).forward)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Predicts the ledger of a run.

    Attributes:
        recipe: What was asked.
        facts: What is known of data, model and machine.
        stages: The run's stages.
        budget: What its epochs cost.
        evaluations: Its evaluations.
        reestimation: When BatchNorm's statistics are estimated again.
        in_memory: Images are decoded once and kept.
        is_own: The selector is one of the user's own.
    """

    recipe: Recipe
    facts: Facts
    stages: tuple[Stage, ...]
    budget: Budget
    evaluations: Sequence[Evaluate]
    reestimation: Reestimation
    in_memory: bool
    is_own: bool = False

    def predicted(self, expected: Expected) -> Costs:
        """The ledger at the end of the run.

        Args:
            expected: What the selector expects of an epoch.
        """
        each = self._expectations(expected)
        epochs = [self.epoch(epoch, expectation) for epoch, expectation in enumerate(each)]
        costs = {key: (sum(e[key][0] for e in epochs), sum(e[key][1] for e in epochs)) for key in epochs[0]}
        costs |= self._with_batchnorm(costs, each[-1])
        for before in self._before():
            nothing = (0.0, 0.0)
            costs = {
                key: (low + before.get(key, nothing)[0], high + before.get(key, nothing)[1])
                for key, (low, high) in costs.items()
            }
        images, plain = self.facts.data.train_images, self.facts.plain_epoch_flops
        first = min(self.recipe.model.first_images, images) * self._processes
        loaded = costs["samples_loaded"][0] + first, costs["samples_loaded"][1] + first
        trained, flops = costs["samples_backpropagated"], costs["flops"]
        return {
            **costs,
            "samples_loaded": loaded,
            "samples_decoded": self._decoded(*loaded),
            "effective_epochs": (trained[0] / images, trained[1] / images),
            "full_epoch_equivalents": (flops[0] / plain, flops[1] / plain),
        }

    def epochs_flops(self, expected: Expected) -> list[tuple[float, float]]:
        """Lowest and highest FLOPs of every epoch's scoring and training; arguments as for `predicted`."""
        return [self.budget.epoch_flops(*each) for each in enumerate(self._expectations(expected))]

    def _expectations(self, expected: Expected) -> list[Expectation]:
        """What is expected of every epoch."""
        level = self.budget.first_level(expected)
        return [self._expected(expected, epoch, level) for epoch in range(self.budget.epochs)]

    def _expected(self, expected: Expected, epoch: int, level: float | None) -> Expectation:
        """An epoch's expectation; a method that chooses by scores may keep whatever no epoch has shown before."""
        found = expected(self.budget.at(epoch, level))
        shares = data_shares(self.stages)[: epoch + 1]
        is_new = shares[-1] < 1 and max(shares) < 1 and sum(shares[:-1]) < 1
        if is_new and isinstance(self.recipe.select, ScoredParams) and epoch:
            return replace(found, kept_high=max(found.kept_high, 1.0))
        return found

    def _before(self) -> Iterator[Costs]:
        """Entries of what comes before the first epoch."""
        if self.facts.preparation:
            yield {key: (float(low), float(high)) for key, (low, high) in self.facts.preparation.costs.items()}
        if finds_lr(self.recipe):
            yield costs_of(self.recipe, self.facts, self.stages[0])

    def epoch(self, epoch: int, expectation: Expectation) -> Costs:
        """Ledger entries of one epoch's scoring and training."""
        stage = stage_of(self.stages, epoch)
        images = self.budget.shown(epoch)
        scored = round(expectation.scored * images)

        def bounds(entry: Callable[[int], float]) -> tuple[float, float]:
            return entry(round(expectation.kept_low * images)), entry(round(expectation.kept_high * images))

        passed = float(self.facts.data.train_images * _computes(stage, epoch))
        again = looks_at_batches(self.recipe, self.is_own)  # what is scored in its batch is loaded once

        def loaded(kept: int) -> float:
            return float(scored + passed if stage.keeps_features else max(kept, scored) if again else kept + scored)

        low, high = bounds(loaded)
        return {
            # With several workers one may lack what another has loaded and scored, and loads it again.
            "samples_loaded": (low, high + (scored if workers_of(self.recipe, self.facts.machine) > 1 else 0)),
            "samples_forwarded": bounds(lambda kept: float(kept + scored) + passed),
            "samples_backpropagated": bounds(float),
            "optimizer_steps": bounds(lambda kept: float(self.budget.steps(epoch, kept))),
            "flops": self.budget.epoch_flops(epoch, expectation),
        }

    @property
    def _processes(self) -> int:
        return self.facts.machine.processes

    @property
    def _has_val(self) -> bool:
        return self.facts.data.val_images > 0

    def _with_batchnorm(self, costs: Costs, last: Expectation) -> Costs:
        """Entries that the published model's new statistics of BatchNorm add to, where it surely gets them, or may."""
        surely, perhaps = self._reestimated(last)
        images = float(self.reestimation.images)  # every process looks at them, and forwards are counted once
        loaded, flops = images * self._processes, reestimation_flops(self.facts, self.stages, self.reestimation)
        extra = {"flops": flops, "samples_forwarded": images, "samples_loaded": loaded}
        return {key: (costs[key][0] + surely * more, costs[key][1] + perhaps * more) for key, more in extra.items()}

    def _reestimated(self, last: Expectation) -> tuple[bool, bool]:
        """Whether the published model surely gets, and whether it may get, new statistics of BatchNorm."""
        surely, perhaps = self.reestimation.at_published_side(self.stages, self._has_val)
        guards, averaged = self.reestimation.guards, self.reestimation.averaged
        # With validation images the best model may come from before the average's first step.
        return (
            surely or (averaged and not self._has_val) or (guards and last.kept_high < 1),
            perhaps or averaged or (guards and last.kept_low < 1),
        )

    # --- Decoding -------------------------------------------------------------------------------------------------

    def _decoded(self, loaded_low: float, loaded_high: float) -> tuple[float, float]:
        """Fewest and most images decoded, over all processes: in memory once a side, else whenever one is looked at."""
        if self.in_memory:
            return self._decoded_into_memory()
        data, validated = self.facts.data, self._validated
        tests = sum(evaluate.split == "test" for evaluate in self.evaluations) - 1  # that of the last model apart
        once = (len(validated) + 1) * data.val_images + tests * data.test_images + self._shown() + self._suspected()
        moments = min(MOMENTS_IMAGES, data.train_images) * self._processes
        # Quarantine decodes all to find the damaged ones, unless it is known already; the last model may differ from
        # the best, and is then tested too.
        images = data.train_images + data.val_images + data.test_images
        checked = images * self._processes if self.recipe.data.damaged == "quarantine" else 0
        again = data.test_images if self._has_val else 0
        surely, perhaps = self._reestimations()
        renewed_low, renewed_high = (times * self.reestimation.images * self._processes for times in (surely, perhaps))
        low, high = loaded_low + once + moments, loaded_high + once + moments
        return low + renewed_low, high + checked + again + renewed_high

    @property
    def _validated(self) -> list[Stage]:
        return validated_stages(self.stages, self.recipe.evaluate.every)

    def _reestimations(self) -> tuple[int, int]:
        """Fewest and most estimations of BatchNorm's statistics for validations; that of the published model apart."""
        if not self._has_val:
            return 0, 0
        at_side = sum(self.reestimation.at_side(stage) for stage in self._validated)
        last = self.reestimation.at_side(self.stages[-1])  # the last model is looked at once more
        return at_side, len(self._validated) + 1 if self.reestimation.depends else at_side + last

    def _decoded_into_memory(self) -> tuple[float, float]:
        """Images decoded where all are kept: those of a split again whenever a side is asked for that is not kept.

        Whole pictures are decoded once, and JPEGs at most once more at every fraction that a part of them allows.
        """
        data, kept = self.facts.data, len(self.reestimation.kept_sides_px(self.stages, self._has_val))
        is_whole = self.recipe.augment.crop == "random_resized"
        train = 1 if is_whole else _decodings(self._training_sides(), kept)
        evaluated = [self.stages[0], *self._validated, self.stages[-1]]
        val = _decodings([stage.evaluation_side_px for stage in evaluated], 1)
        low = float(train * data.train_images + val * data.val_images + data.test_images) * self._processes
        smallest_px = min(self._training_sides())
        # Some images are larger than most.
        fractions = sum(_LARGER * data.native_side_px // n >= smallest_px for n in FRACTIONS) if is_whole else 0
        return low, low + float(fractions * data.train_images * self._processes)

    def _training_sides(self) -> Iterator[int]:
        """Sides at which training images are asked for, in their order."""
        yield self.stages[0].side_px
        if self.facts.preparation:
            yield from self.facts.preparation.sides_px
        for stage in self.stages:
            yield from (stage.side_px, *self._drawn_sides(stage))
            if self._has_val and self.reestimation.at_side(stage) and stage in self._validated:
                yield stage.evaluation_side_px
        if self.reestimation.at_side(self.stages[-1]) or self._suspected():
            yield self.stages[-1].evaluation_side_px

    def _drawn_sides(self, stage: Stage) -> Iterator[int]:
        """The sides that a ramp's batches draw, where the epochs show all images."""
        for epoch in range(stage.first_epoch, stage.first_epoch + stage.epochs if stage.ramp else 0):
            batches = -(-self.budget.shown(epoch) // stage.batch_size_at(epoch))
            yield from dict.fromkeys(stage.batch_sides_px(epoch, range(batches)))

    def _suspected(self) -> int:
        """Training images whose boxes or masks are held against the published model, by one process."""
        data = self.facts.data
        return min(SUSPECTED_IMAGES, data.train_images) if data.aspect is not None and self.recipe.out.suspects else 0

    def _shown(self) -> int:
        """Images that are shown: training views of every stage, watched images of validation, and the worst samples."""
        if not self.recipe.out.previews:
            return 0
        data = self.facts.data
        most = shown_of(data.aspect is not None)
        rows = min(most.rows, data.train_images)
        views = sum(1 + min(most.views, stage.epochs) for stage in self.stages)
        watched = min(most.watched, data.val_images) * len({stage.evaluation_side_px for stage in self._validated})
        return rows * views + watched + min(most.worst, data.test_images or data.val_images)


def _decodings(sides_px: Iterable[int], kept: int) -> int:
    """How often images are decoded that are asked for at these sides, where the last used `kept` of them are kept."""
    times, held = 0, list[int]()
    for side_px in sides_px:
        times += side_px not in held
        held = [*(other for other in held if other != side_px), side_px][-kept:]
    return times
