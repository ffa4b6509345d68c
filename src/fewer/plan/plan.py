"""The plan: the whole run, decided before its first step. Data, and look-ups in it.

A plan can be printed, priced and compared without training, and never changes silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from fewer.core.allocation import batch_sizes
from fewer.core.dense_mixing import DenseMixRule
from fewer.core.errors import RecipeError
from fewer.core.evaluation import Evaluate
from fewer.core.mixing import MixesBatches, MixRule, Mixture
from fewer.core.types import At, Stage
from fewer.machine.device import DeviceSettings
from fewer.machine.loading import Loading
from fewer.optim import lr_shape, momentum_shape
from fewer.optim.shapes import TINY, Shape
from fewer.plan.course import Course, of_epochs
from fewer.plan.evaluations import Reestimation, evaluation_side_px
from fewer.plan.execution import decoded_bytes
from fewer.plan.facts import Facts
from fewer.plan.flops import Flops
from fewer.plan.rates import growth_factor, ramped
from fewer.plan.savings import StageCost, of_length
from fewer.plan.stages import stage_of
from fewer.plan.traffic import shares_statistics
from fewer.recipe.schema import AUTO_LR, Recipe
from fewer.select.budget import Budget


@dataclass(frozen=True)
class Plan:
    """A compiled run.

    Attributes:
        recipe: What was asked, and what `auto` became.
        facts: What was known.
        stages: Stages in order, without gaps.
        precision: "fp32", "bf16", "fp16" or "fp64".
        channels_last: Memory layout of the model.
        digest: Hash of all that shapes the result, but for seed, output and paths.
        budget: What the epochs cost, and what the run may spend.
        loading: Where images are kept and who reads them: how the run is done, not what it does.
        device_settings: What the device does for speed, as far as determinism allows.
        evaluations: The evaluations of the run, in their order.
        reestimation: When BatchNorm's statistics are estimated again for an evaluation.
        predicted: Ledger keys with their lowest and highest predicted value.
        stage_costs: What the epochs of each stage cost, beside plain training.
        own_selector: Name of a selector that the caller brought in place of the recipe's.
        notes: What the user should know before the run starts.
        course: How the schedule goes on where the run's length has changed on its way; None before.
        found_lr: What `train.lr = "auto"` became; None before, and where a number is given.
    """

    recipe: Recipe
    facts: Facts
    stages: tuple[Stage, ...]
    precision: str
    channels_last: bool
    digest: str
    budget: Budget
    loading: Loading
    device_settings: DeviceSettings
    evaluations: tuple[Evaluate, ...]
    reestimation: Reestimation
    predicted: Mapping[str, tuple[float, float]]
    stage_costs: tuple[StageCost, ...]
    own_selector: str = ""
    notes: tuple[str, ...] = ()
    course: Course | None = None
    found_lr: float | None = None

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def scheduled_epochs(self) -> int:
        """The epochs that schedules are drawn over: those that were planned at first."""
        return self.course.planned if self.course else self.epochs

    @property
    def lr(self) -> float | None:
        """The peak learning rate; None while it is still to be found."""
        asked = self.recipe.train.lr
        return self.found_lr if asked == AUTO_LR else asked

    @property
    def peak_lr(self) -> float:
        """The peak learning rate.

        Raises:
            RecipeError: It is still to be found.
        """
        if (lr := self.lr) is None:
            raise RecipeError(
                'train.lr = "auto": no rate has been found yet; call `find_lr` of fewer.session.lr_finder before the '
                "first batch, or give train.lr a number"
            )
        return lr

    @property
    def shares_statistics(self) -> bool:
        """Whether BatchNorm normalises by the samples of all processes."""
        return shares_statistics(self.recipe, self.facts)

    @property
    def settled_recipe(self) -> Recipe:
        """The recipe with the learning rate that was found in place of `auto`."""
        train = self.recipe.train.model_copy(update={"lr": self.peak_lr})
        return self.recipe.model_copy(update={"train": train})

    @property
    def kept_epochs(self) -> frozenset[int]:
        """Epochs behind which checkpoints stay for good."""
        return frozenset(moment.whole_epochs(self.epochs) for moment in self.recipe.out.keep_at)

    @property
    def largest_side_px(self) -> int:
        return max(stage.side_px for stage in self.stages)

    @property
    def evaluation_side_px(self) -> int:
        """The side that models are published for and compared at."""
        return evaluation_side_px(self.stages)

    @property
    def kept_sides_px(self) -> tuple[int, ...]:
        """The sides of training images that stay decoded in memory at once."""
        return self.reestimation.kept_sides_px(self.stages, self.facts.data.val_images > 0)

    @property
    def loading_bytes(self) -> int:
        """What one process's images take in memory where all are kept decoded."""
        return decoded_bytes(self.recipe, self.facts.data, self.stages, self.kept_sides_px)

    @property
    def plain_epoch_flops(self) -> float:
        """What one plain epoch costs: all training images at the largest side, nothing frozen."""
        return self.facts.plain_epoch_flops

    def following(self, course: Course) -> Plan:
        """The plan of a run whose schedule goes on by a course, which may end it early."""
        stages, budget = of_epochs(self.stages, self.budget, course.epochs)
        costs = of_length(self.stage_costs, self.stages, stages)
        return replace(self, stages=stages, budget=budget, course=course, stage_costs=costs)

    def stage(self, epoch: int) -> Stage:
        return stage_of(self.stages, epoch)

    def at(self, epoch: int, batch: int = 0, batches: int = 1, share: float | None = None) -> At:
        """The moment before a batch of an epoch, in which a given share of the images may be trained on."""
        return At(epoch, self.epochs, self.progress(epoch + batch / batches), share, self.stage(epoch).data_share)

    def progress(self, past: float) -> float:
        """Where in the schedule the run stands after so many epochs, in [0, 1]."""
        if self.course and past >= self.course.begins:
            return self.course.progress(past)
        return past / self.scheduled_epochs

    def shown_images(self, epoch: int) -> int:
        """How many training images an epoch shows."""
        return self.budget.shown(epoch)

    def mix_rule(self, at: At) -> MixesBatches | None:
        """How batches are mixed from a moment on; None where none is until the epoch ends."""
        asked, stage = self.recipe.augment, self.stage(at.epoch)
        strength = stage.strength_at(at.epoch) if stage.mix is None else stage.mix
        share = asked.mix_share * strength
        until = asked.mix_until.in_epochs(self.scheduled_epochs) / self.scheduled_epochs
        if not asked.mixes or not share or at.progress > until - 1e-9:  # whatever the rounding
            return None
        if asked.mosaic or asked.copy_paste:
            return DenseMixRule(asked.mosaic * strength, asked.copy_paste * strength)
        return MixRule(asked.mixup_alpha, asked.cutmix_alpha, share, asked.cutmix_share)

    def first_mix(self, epoch: int) -> Mixture | None:
        """How the first batch of an epoch is mixed, for pictures; None where it is not."""
        rule = self.mix_rule(self.at(epoch))
        return rule.drawn(self.stage(epoch).side_px, self.recipe.train.seed_of_data, epoch, 0, 0) if rule else None

    def lr_factor(self, progress: float, stage: Stage) -> float:
        """Learning rate at the run's `progress`, in a stage, as a share of `train.lr`; selection apart."""
        past, epochs = self._in_schedule(progress, stage)
        factor = self._lr_shapes[epochs](past) * stage.lr_scale
        if stage.batch_growth:
            nth = int(progress * self.scheduled_epochs - stage.first_epoch + TINY)
            growth = stage.batch_growth[min(max(0, nth), stage.epochs - 1)]
            factor *= growth_factor(self.recipe.train, growth)
        if not stage.lr_ramp_epochs:
            return factor
        return factor * ramped(stage, progress * self.scheduled_epochs - stage.first_epoch)

    def lr_share(self, progress: float) -> float:
        """Learning rate at the run's `progress` as a share of `train.lr`, in whichever stage that is."""
        epoch = min(int(progress * self.scheduled_epochs + TINY), self.epochs - 1)
        return self.lr_factor(progress, self.stage(epoch))

    def momentum(self, progress: float, stage: Stage) -> float | None:
        """Momentum, or the first beta, at the run's `progress`, in a stage; None where it is constant."""
        past, epochs = self._in_schedule(progress, stage)
        shape = self._momentum_shapes[epochs]
        return shape(past) if shape else None

    def _in_schedule(self, progress: float, stage: Stage) -> tuple[float, int]:
        """Where in its schedule a moment lies, in [0, 1], and over how many epochs that goes: all, or the stage's."""
        planned = self.scheduled_epochs
        if self.recipe.train.schedule_over == "run" or len(self.stages) == 1:
            return progress, planned
        is_last = stage.index == len(self.stages) - 1  # what ends early keeps the schedule that it had
        epochs = planned - stage.first_epoch if is_last else stage.epochs
        return min(1.0, max(0.0, (progress * planned - stage.first_epoch) / epochs)), epochs

    @cached_property
    def _schedule_epochs(self) -> list[int]:
        return [self.scheduled_epochs, *(self._in_schedule(0.0, stage)[1] for stage in self.stages)]

    @cached_property
    def _lr_shapes(self) -> dict[int, Shape]:
        return {epochs: lr_shape(self.recipe.train, epochs) for epochs in self._schedule_epochs}

    @cached_property
    def _momentum_shapes(self) -> dict[int, Shape | None]:
        return {epochs: momentum_shape(self.recipe.train, epochs) for epochs in self._schedule_epochs}

    def sample_flops(self, epoch: int, side_px: int = 0) -> Flops:
        """FLOPs of one sample that is trained on in an epoch, at its stage's largest side or at another of them."""
        return self.facts.model.trained_flops(self.stage(epoch), epoch, side_px)

    def forward_flops(self, epoch: int) -> int:
        """FLOPs of one sample's forward through the whole model in an epoch."""
        return self.facts.model.sample_flops(self.stage(epoch).side_px, epoch).forward

    def frozen(self, stage: Stage) -> tuple[str, ...]:
        """The layers that a stage freezes."""
        return self.facts.model.layers[: stage.frozen_layers]

    def scoring_flops(self, epoch: int) -> int:
        """FLOPs of one sample's scoring forward in an epoch."""
        return self.facts.model.scoring_flops(self.stage(epoch).side_px, epoch)

    def cut_short(self, epoch: int, sizes: Sequence[int]) -> Sequence[int]:
        """Those of an epoch's batches that the run has time for: all, but perhaps in its last epoch."""
        if not self.course or self.course.last == 1 or epoch < self.epochs - 1:
            return sizes
        return sizes[: max(1, round(self.course.last * len(sizes)))]

    def batch_sizes(self, samples: int, epoch: int, packs: bool = True, candidates: float = 1.0) -> list[int]:
        """Sizes of an epoch's batches; they differ by at most one, and none holds one sample alone.

        Args:
            samples: Samples chosen for the epoch, M.
            epoch: The epoch.
            packs: True: ceil(M / B) batches. False: as many batches as plain training has, of two samples or more.
            candidates: Batches' worth of samples in one candidate batch.
        """
        size = max(1, round(self.stage(epoch).batch_size_at(epoch) * candidates))
        return batch_sizes(samples, size, samples if packs else self.shown_images(epoch))
