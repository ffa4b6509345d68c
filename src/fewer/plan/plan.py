"""The whole run, decided before its first step: stages, schedule, predicted cost. Pure functions of numbers.

A plan is compiled from a recipe and from facts about data, model and machine. It can be printed, priced and compared
without training, and never changes silently.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fewer.core.errors import RecipeError
from fewer.core.types import At, Evaluate, Expectation, Stage
from fewer.machine.device import DeviceSettings, Loading, auto_precision, choose_device_settings, choose_loading
from fewer.optim.schedules import SCHEDULES, Shape, one_cycle_momentum
from fewer.plan import checks
from fewer.plan.cost_model import Reference, predicted
from fewer.plan.evaluations import evaluations_of
from fewer.recipe.schema import Recipe, TrainRecipe
from fewer.select.budget import Budget, asked_cost
from fewer.select.budget_checks import budget_too_small, mostly_scored, too_few_samples

if TYPE_CHECKING:
    from collections.abc import Callable

BATCHNORM_IMAGES = 2048  # that statistics are estimated from, where nothing else is asked
_MEANING = 1  # of the recipe's keys and their defaults, see `_digest`


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of one sample from some epoch on, while the set of trained parameters stays the same."""

    from_epoch: int
    forward: int
    backward: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What must be known of data, model and machine.

    Attributes:
        train_images, val_images, test_images: Sizes of the splits.
        classes: Class names.
        class_images: Training images of every class; empty where that is not known.
        native_side_px: Median short side of the images.
        flops: For every side, the FLOPs of one sample; more than one entry where layers are frozen later.
        plain_sample_flops: Forward and backward of one sample at the largest side, with nothing frozen.
        parameters: Number of the model's parameters.
        ranks: Processes that train together.
        threads: Threads of one process.
        cores: Cores that all ranks share.
        available_bytes: Free memory before anything is decoded; None where the system does not say.
        bf16: Whether the device computes bfloat16 natively.
        device: "cpu" or "cuda".
        notes: What was noticed about data, model and weights, for people.
        problems: What of the recipe the model cannot do.
        weights: SHA-256 of the file with the first weights; empty for random ones.
        moments: Mean and standard deviation of each channel that the first weights were trained with, where known.
        batchnorm: Whether the model keeps running statistics of batches.
        reference: What reference losses take, where the selection method needs them.
        scoring_side_px: Image side that the selector scores batches at; None: that of training.
    """

    train_images: int
    val_images: int
    test_images: int
    classes: tuple[str, ...]
    native_side_px: int
    flops: Mapping[int, tuple[Flops, ...]]
    plain_sample_flops: int
    parameters: int
    ranks: int = 1
    threads: int = 1
    cores: int = 1
    available_bytes: int | None = None
    bf16: bool = False
    device: str = "cpu"
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    weights: str = ""
    class_images: tuple[int, ...] = ()
    moments: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    batchnorm: bool = False
    reference: Reference | None = None
    scoring_side_px: int | None = None

    def sample_flops(self, side_px: int, epoch: int) -> Flops:
        """FLOPs of one sample at a side in an epoch."""
        return [entry for entry in self.flops[side_px] if entry.from_epoch <= epoch][-1]


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
        predicted: Ledger keys with their lowest and highest predicted value.
        own_selector: Name of a selector that the caller brought in place of the recipe's.
    """

    recipe: Recipe
    facts: Facts
    stages: tuple[Stage, ...]
    precision: str
    channels_last: bool
    digest: str
    predicted: Mapping[str, tuple[float, float]]
    own_selector: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def largest_side_px(self) -> int:
        return max(stage.side_px for stage in self.stages)

    @property
    def evaluation_side_px(self) -> int:
        """The side that models are published for and compared at: that of the last stage's evaluations."""
        return self.stages[-1].evaluation_side_px

    @property
    def evaluations(self) -> tuple[Evaluate, ...]:
        """The evaluations of the run, in their order."""
        facts, recipe = self.facts, self.recipe
        has_val, has_test, is_averaged = facts.val_images > 0, facts.test_images > 0, recipe.train.ema != "off"
        return evaluations_of(self.stages, recipe.out.evaluate_every, has_val, has_test, is_averaged)

    @property
    def loading(self) -> Loading:
        """Where images are kept and who reads them: how the run is done, not what it does."""
        data, facts = self.recipe.data, self.facts
        held_out = (facts.val_images + facts.test_images) * self.evaluation_side_px**2
        if self.recipe.augment.crop == "random_resized":  # whole pictures, most often wider than high
            pixels = facts.train_images * facts.native_side_px**2 * 3 // 2
        else:
            pixels = facts.train_images * self.largest_side_px**2
            if self.keeps_two_sides:
                pixels += facts.train_images * self.evaluation_side_px**2
        needed_bytes = 3 * (pixels + held_out)
        return choose_loading(
            data.in_memory, data.processes, needed_bytes, facts.available_bytes, facts.device, facts.cores, facts.ranks
        )

    @property
    def device_settings(self) -> DeviceSettings:
        """What the device does for speed, as far as determinism allows."""
        stays = self.loading.in_memory and self.recipe.augment.crop == "shift"
        return choose_device_settings(self.facts.device, self.recipe.train.deterministic, stays)

    @property
    def plain_epoch_flops(self) -> float:
        """What one plain epoch costs: all training images at the largest side, nothing frozen."""
        return self.facts.train_images * self.facts.plain_sample_flops

    def stage(self, epoch: int) -> Stage:
        return next(stage for stage in reversed(self.stages) if stage.first_epoch <= epoch)

    @property
    def budget(self) -> Budget:
        """What the run may spend, and what it spends it on."""
        each = [self.sample_flops(epoch) for epoch in range(self.epochs)]
        return Budget(
            images=self.facts.train_images,
            training_flops=tuple(flops.forward + flops.backward for flops in each),
            scoring_flops=tuple(self.scoring_flops(epoch) for epoch in range(self.epochs)),
            cost=None if self.own_selector else asked_cost(self.recipe.select),
            before_flops=float(self.facts.reference.costs["flops"]) if self.facts.reference else 0.0,
            after_flops=self.batchnorm_flops,
        )

    @property
    def batchnorm_images(self) -> int:
        """Images that BatchNorm's statistics are estimated from where training's do not fit an evaluation."""
        guards = self._guards
        images = guards.batchnorm_images if guards else BATCHNORM_IMAGES
        return min(images, self.facts.train_images) if self.facts.batchnorm else 0

    @property
    def guards_batchnorm(self) -> bool:
        """Whether an epoch on a part of the data makes BatchNorm's statistics unfit: a method chose it by scores."""
        return bool(self._guards and self._guards.batchnorm_images)

    @property
    def _guards(self) -> Any:
        return None if self.own_selector else getattr(self.recipe.select, "guards", None)

    @property
    def keeps_two_sides(self) -> bool:
        """Whether training images are wanted at the side of evaluation while another is trained on.

        In memory both stay decoded: each evaluation would else decode all images twice.
        """
        evaluates = bool(self.batchnorm_images and self.facts.val_images)
        return evaluates and any(stage.side_px != stage.evaluation_side_px for stage in self.stages)

    @property
    def batchnorm_flops(self) -> float:
        """What that costs, once, for the model that is handed over."""
        return float(self.batchnorm_images * self.facts.sample_flops(self.evaluation_side_px, self.epochs - 1).forward)

    def at(self, epoch: int, batch: int = 0, batches: int = 1, share: float | None = None) -> At:
        """The moment before a batch of an epoch, in which a given share of the images may be trained on."""
        return At(epoch, self.epochs, (epoch + batch / batches) / self.epochs, share)

    def lr_factor(self, progress: float) -> float:
        """Learning rate at `progress`, as a share of `train.lr`."""
        train = self.recipe.train
        return SCHEDULES[train.schedule](progress, _shape(train, self.epochs))

    def momentum(self, progress: float) -> float | None:
        """Momentum, or the first beta, at `progress`; None where it is constant."""
        train = self.recipe.train
        if train.schedule != "one_cycle" or train.cycle_momentum == "off":
            return None
        return one_cycle_momentum(progress, _shape(train, self.epochs).warmup, *train.cycle_momentum)

    def sample_flops(self, epoch: int) -> Flops:
        return self.facts.sample_flops(self.stage(epoch).side_px, epoch)

    def scoring_flops(self, epoch: int) -> int:
        """FLOPs of one sample's scoring forward in an epoch."""
        side_px = self.facts.scoring_side_px
        return self.facts.sample_flops(side_px, epoch).forward if side_px else self.sample_flops(epoch).forward

    def batch_sizes(self, samples: int, stage: Stage, packs: bool = True, candidates: float = 1.0) -> list[int]:
        """Sizes of an epoch's batches; they differ by at most one, and none holds one sample alone.

        Args:
            samples: Samples chosen for the epoch, M.
            stage: The epoch's stage.
            packs: True: ceil(M / B) batches. False: as many batches as plain training has, of two samples or more.
            candidates: Batches' worth of samples in one candidate batch.
        """
        size = max(1, round(stage.batch_size * candidates))
        count = math.ceil((samples if packs else self.facts.train_images) / size)
        most = samples if size == 1 else max(1, samples // 2)
        return even_sizes(samples, min(count, most))

    def as_json(self) -> dict[str, Any]:
        """The content of `plan.json`."""
        low, high = ({key: value[i] for key, value in self.predicted.items()} for i in (0, 1))
        return {
            "schema": 1,
            "digest": self.digest,
            "epochs": self.epochs,
            "train_images": self.facts.train_images,
            "val_images": self.facts.val_images,
            "test_images": self.facts.test_images,
            "classes": list(self.facts.classes),
            "train_images_per_class": list(self.facts.class_images),
            "stages": [asdict(stage) for stage in self.stages],
            "evaluation_side_px": self.evaluation_side_px,
            "precision": self.precision,
            "compile": self.recipe.train.compile,
            "deterministic": self.recipe.train.deterministic,
            "channels_last": self.channels_last,
            "ranks": self.facts.ranks,
            "threads": self.facts.threads,
            "device": self.facts.device,
            "loading": asdict(self.loading),
            "device_settings": asdict(self.device_settings),
            "select": {"method": self.own_selector}
            if self.own_selector
            else self.recipe.select.model_dump(mode="json"),
            "model": {
                "name": self.recipe.model.name,
                "parameters": self.facts.parameters,
                "weights": self.facts.weights,
            },
            "reference": asdict(self.facts.reference) if self.facts.reference else None,
            "plain_epoch_flops": self.plain_epoch_flops,
            "predicted": {"low": low, "high": high},
            "notes": list(self.notes),
        }


def compile_plan(
    recipe: Recipe,
    facts: Facts,
    expects: Callable[[At], Expectation] | None = None,
    own_selector: str = "",
    packs: bool = True,
) -> Plan:
    """Decides all that can be decided before the first step.

    Args:
        recipe: What the user asked.
        facts: What is known of data, model and machine; `flops` must hold every side of `stages_of`.
        expects: The selector's own expectation of an epoch; everything is trained on if left out.
        own_selector: Name of a selector that the caller brought in place of the recipe's.
        packs: Whether the selector's batches are full ones; else there are as many as plain training has.

    Raises:
        RecipeError: With everything in the recipe that does not fit the facts.
    """
    stages = stages_of(recipe, facts.native_side_px)
    problems = checks.mismatches(recipe, facts, stages)
    if problems:
        raise RecipeError(problems)
    recipe = _resolved(recipe, facts)
    plan = Plan(
        recipe=recipe,
        facts=facts,
        stages=stages,
        precision=recipe.train.precision,
        channels_last=recipe.train.channels_last == "yes",
        digest=_digest(recipe, facts, own_selector),
        own_selector=own_selector,
        predicted={},
        notes=_notes(facts, stages),
    )
    expects = expects or (lambda at: Expectation(1.0, 1.0))
    method, budget = own_selector or recipe.select.model_dump()["method"], plan.budget
    proxies = facts.reference is not None and not facts.reference.weights
    if refused := budget_too_small(budget, expects, method, proxies) or too_few_samples(budget, expects, method):
        raise RecipeError(refused)
    plan = replace(plan, predicted=predicted(plan, expects, packs))
    warnings = [checks.exceeds_plain_cost(plan), mostly_scored(budget, expects)]
    return replace(plan, notes=(*plan.notes, *filter(None, warnings)))


def _resolved(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe with what `auto` became on this machine, so that a resumed run keeps it elsewhere."""
    train = recipe.train
    precision = auto_precision(facts.device, facts.bf16) if train.precision == "auto" else train.precision
    layout = train.channels_last if train.channels_last != "auto" else "no" if precision == "fp64" else "yes"
    return recipe.model_copy(
        update={"train": train.model_copy(update={"precision": precision, "channels_last": layout})}
    )


def stages_of(recipe: Recipe, native_side_px: int) -> tuple[Stage, ...]:
    """The recipe's stages; without any, one at the data's own side, kept between 32 px and 128 px.

    Both small nets were designed for 32 px; photos at their full size would take hours where 128 px take minutes.
    """
    own_side = min(max(native_side_px, 32), 128)
    if not recipe.stages:
        return (Stage(0, 0, recipe.train.epochs, own_side, recipe.train.batch_size),)
    stages, first = [], 0
    for index, asked in enumerate(recipe.stages):
        side, size = asked.side_px or own_side, asked.batch_size or recipe.train.batch_size
        evaluation_side = asked.evaluation_side_px or side
        stages.append(Stage(index, first, asked.epochs, side, size, asked.strength, asked.lr_scale, evaluation_side))
        first += asked.epochs
    return tuple(stages)


def _shape(train: TrainRecipe, epochs: int) -> Shape:
    """The numbers of the learning rate's schedule, as shares of the run."""
    warmup = train.cycle_peak if train.schedule == "one_cycle" else train.warmup
    return Shape(
        warmup=warmup.in_epochs(epochs) / epochs,
        start=train.warmup_start,
        final=train.final,
        every=train.step_every.in_epochs(epochs) / epochs,
        at=tuple(span.in_epochs(epochs) / epochs for span in train.step_at),
        gamma=train.step_gamma,
    )


def even_sizes(total: int, parts: int) -> list[int]:
    """`total` cut into `parts` sizes that differ by at most one, larger ones first."""
    return [total // parts + (index < total % parts) for index in range(parts)] if total else []


def shares(total: int, parts: int) -> list[int]:
    """`total` samples for `parts` workers or micro-batches: even, but never one sample alone; some may get none."""
    used = max(1, min(parts, total // 2))
    return even_sizes(total, used) + [0] * (parts - used) if total else [0] * parts


def _notes(facts: Facts, stages: tuple[Stage, ...]) -> tuple[str, ...]:
    notes = list(facts.notes)
    for side in sorted({stage.side_px for stage in stages}):
        if side > facts.native_side_px:
            notes.append(f"images of {facts.native_side_px} px are enlarged to {side} px")
        elif side < facts.native_side_px:
            notes.append(f"images of {facts.native_side_px} px are reduced to {side} px")
    if facts.reference:
        by = "the given model" if facts.reference.weights else "two proxies, each trained on half of the images"
        fee = facts.reference.costs["flops"] / (facts.train_images * facts.plain_sample_flops)
        notes.append(f"reference losses come first, by {by}: {fee:.2f} FEE")
    return tuple(notes)


def _digest(recipe: Recipe, facts: Facts, own_selector: str) -> str:
    """Keys at their default are left out, so that a version with more keys gives old recipes their old digest.

    Whoever changes a default, or what one means, raises `_MEANING`.
    """
    unasked: Any = {"out": True, "train": {"seed"}, "data": {"in_memory", "processes", "cache"}, "select": True}
    content = recipe.model_dump(mode="json", exclude=unasked, exclude_defaults=True)
    for name in ("source", "test", "val"):
        content["data"][name] = getattr(recipe.data, name).partition(":")[0]
    content["data"].get("labels", {}).pop("csv", None)
    chosen = recipe.select.model_dump(mode="json", exclude_defaults=True)
    if guards := getattr(recipe.select, "guards", None):
        chosen["guards"] = guards.model_dump(mode="json")  # results from before there were guards are others
    if "reference" in chosen:
        chosen["reference"] = facts.reference.weights if facts.reference else ""
    chosen_model = recipe.model.model_dump(mode="json", exclude={"weights"}, exclude_defaults=True)
    content["model"] = {**chosen_model, "name": recipe.model.name}
    if facts.weights:
        content["model"]["weights"] = facts.weights
    content["select"] = own_selector or {**chosen, "method": recipe.select.model_dump()["method"]}
    content["facts"] = [facts.train_images, facts.val_images, facts.test_images, facts.classes, facts.native_side_px]
    text = json.dumps([_MEANING, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def table(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The plan's stages as rows of text: stage, epochs, side, batch, steps, learning rate."""
    yield ("stage", "epochs", "side_px", "batch_size", "steps/epoch", "lr first → last")
    for stage in plan.stages:
        steps = math.ceil(plan.facts.train_images / stage.batch_size)
        first, last = stage.first_epoch, stage.first_epoch + stage.epochs - 1
        rates = [
            plan.recipe.train.lr * plan.lr_factor(plan.at(e, b, steps).progress)
            for e, b in ((first, 0), (last, steps - 1))
        ]
        yield (
            str(stage.index),
            f"{first + 1}-{last + 1}",
            str(stage.side_px),
            str(stage.batch_size),
            str(steps),
            f"{rates[0]:.4g} → {rates[1]:.4g}",
        )
