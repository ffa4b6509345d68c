"""Facts of a recipe's model, from dry runs at every side that the run needs; each is found once in a process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from fewer import models, optim, tasks
from fewer.core.abilities import ChangesByEpoch
from fewer.core.types import Stage
from fewer.models import ModelParams, dry_run, freezing
from fewer.models.batchnorm import batchnorm_channels, has_batchnorm
from fewer.models.blocks import ends, rate_factors
from fewer.models.cut import Cut, cut_before_head, cut_inside
from fewer.plan.facts import DataFacts, ModelFacts
from fewer.plan.flops import flops_by_epoch, rest_flops, unfrozen_flops
from fewer.plan.stages import stages_of
from fewer.recipe.schema import Recipe, StageRecipe, TaskRecipe, TrainRecipe

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.models.pretrained import Weights

_SMALL_PX, _COARSE = 64, 4  # where a stem that divides the side by so much deserves a word
_KEPT = 64  # facts of so many nets: those of a search's trials, or of a test session


@dataclass(frozen=True)
class _Net:
    """All that the facts of a model depend on, weights apart.

    Attributes:
        family: The module that builds it: what a program of one's own registers under a name may change.
        model, task, train, asked: Sections of the recipe; seeds count nothing.
        stages: What the recipe's stages come to.
        epochs: Of the run.
        classes: How many there are.
        aspect: Of the data's frames, width by height.
        scoring_side_px: Image side that the selector scores at, where it is not that of training.
    """

    family: ModuleType
    model: ModelParams
    task: TaskRecipe
    train: TrainRecipe
    asked: tuple[StageRecipe, ...]
    stages: tuple[Stage, ...]
    epochs: int
    classes: int
    aspect: float
    scoring_side_px: int | None

    def __hash__(self) -> int:
        """Of what most nets differ in: sections may hold dicts, such as arguments of an optimizer."""
        return hash((self.family, self.model.name, self.stages, self.epochs, self.classes))

    @property
    def sides_px(self) -> tuple[int, ...]:
        """All sides of the run; the model is built for the last, the largest that is trained on."""
        sides = sorted({side for stage in self.stages for side in stage.sides_px})
        looked_at = {stage.evaluation_side_px for stage in self.stages} | {self.scoring_side_px or sides[0]}
        return (*sorted({*sides, *looked_at} - {sides[-1]}), sides[-1])

    @property
    def smallest_px(self) -> int:
        """The smallest side that is trained on."""
        return min(side for stage in self.stages for side in stage.sides_px)

    def plain_task(self) -> Task:
        """The task, with numbers for names of classes."""
        task: Task = tasks.module(self.task.name).plain(tuple(map(str, range(self.classes))), self.aspect)
        return task


def model_facts(recipe: Recipe, data: DataFacts, weights: Weights | None, scoring_side_px: int | None) -> ModelFacts:
    """Facts of the recipe's model, from dry runs at every side that the run needs.

    Args:
        recipe: What the user asked.
        data: Facts of the data.
        weights: The model's first weights, unless they are random.
        scoring_side_px: Image side that the selector scores at, where it is not that of training.
    """
    if problem := _other_task(recipe):
        return ModelFacts({}, 0, 0, scoring_side_px=scoring_side_px, problems=(problem,))
    net = _Net(
        models.family(recipe.model.name),
        recipe.model,
        recipe.task,
        recipe.train.model_copy(update={"seed": 0, "data_seed": None}),
        recipe.stages,
        tuple(stages_of(recipe, data.native_side_px)),
        recipe.epochs,
        len(data.classes),
        data.aspect or 1.0,
        scoring_side_px,
    )
    facts = _facts_of(net)
    if not weights or not facts.parameters:
        return facts
    return replace(
        facts,
        weights=weights.sha256,
        moments=weights.moments,
        notes=(*facts.notes, *_weights_notes(recipe, net, weights)),
    )


@lru_cache(_KEPT)
def _facts_of(net: _Net) -> ModelFacts:
    """What dry runs find; counting a net's FLOPs takes longer than a tiny run."""
    task, sides = net.plain_task(), net.sides_px
    try:
        model = dry_run.take(net.model, net.classes, sides, task)
    except ValueError as error:
        problem = f'model.name = "{net.model.name}": {error}'
        return ModelFacts({}, 0, 0, scoring_side_px=net.scoring_side_px, problems=(problem,))
    layers, counts, body, problems = _frozen(net, model, task)
    cuts = _cuts(net, model, task, (layers, counts, body))
    frozen = {
        side: {0} | {count for stage, count in zip(net.stages, counts, strict=False) if side in stage.sides_px}
        for side in sides
    }

    def step_flops(model: nn.Module) -> int:
        return optim.step_flops(net.train, model, ends(model, net.classes))

    flops = {side: flops_by_epoch(task, model, side, net.epochs, layers, frozen[side], step_flops) for side in sides}
    trains_all = not isinstance(model, ChangesByEpoch) and all(each.requires_grad for each in model.parameters())
    return ModelFacts(
        flops=flops,
        layers=layers,
        frozen_layers=counts,
        body_layers=body,
        cuts=cuts,
        rest_flops={at: rest_flops(task, model, cut, layers[: at[1]]) for at, cut in cuts.items()},
        problems=problems,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        batchnorm=has_batchnorm(model),
        batchnorm_channels=batchnorm_channels(model),
        shapes=tuple(tuple(parameter.shape) for parameter in model.parameters()),
        depthwise_share=dry_run.depthwise_share(model, sides[-1], task),
        narrow_strides=dry_run.has_narrow_strides(model),
        scoring_side_px=net.scoring_side_px,
        notes=(*_stem_notes(net, model), *_rate_notes(net, model, layers)),
        plain_sample_flops=flops[sides[-1]][0].training if trains_all else unfrozen_flops(task, model, sides[-1]),
    )


def _other_task(recipe: Recipe) -> str:
    """That the model is none of the task's, and which ones are; nothing where it is."""
    name, task = recipe.model.name, recipe.task.name
    made_for = getattr(models.family(name), "TASK", "classify")
    if made_for == task:
        return ""
    fit = [
        each for each in models.names() if getattr(models.family(each), "TASK", "classify") == task and ":" not in each
    ]
    fix = f"take one of its own: {', '.join(fit[:6])}" if fit else "take another model"
    return f'model.name = "{name}" is made to {made_for}, and task.name = "{task}"; {fix}'


def _frozen(net: _Net, model: nn.Module, task: Task) -> tuple[tuple[str, ...], tuple[int, ...], int, tuple[str, ...]]:
    """The model's layers as they run, how many of them each stage freezes, how many come before the head, and what of
    that cannot be done."""
    if not any(stage.frozen for stage in net.asked) and net.train.layer_lr_decay == 1:
        return (), (), 0, ()
    batch = task.dummy_batch(net.sides_px[-1], torch.device("meta"), torch.float32)
    with torch.no_grad():
        layers, head = freezing.layers_in_order(model, net.classes, lambda: task.dry_run(model, batch))
    norms, counts, problems = freezing.norms_of(model), list[int](), list[str]()
    for index, stage in enumerate(net.asked):
        try:
            counts.append(freezing.frozen_layers(stage.frozen, layers, head, norms))
        except ValueError as error:
            problems.append(f"stages.{index}.frozen: {error}")
            counts.append(0)
    return layers, tuple(counts), len(layers) - head, tuple(problems)


def _cuts(
    net: _Net, model: nn.Module, task: Task, frozen: tuple[tuple[str, ...], tuple[int, ...], int]
) -> dict[tuple[int, int], Cut]:
    """Where the model can be cut behind what a stage freezes, by side and frozen layers: before the head, or further
    inside where the stage asks for that."""
    layers, counts, body = frozen
    found: dict[tuple[int, int], Cut | None] = {}
    for stage, asked, count in zip(net.stages, net.asked, counts, strict=False):
        at = stage.side_px, count
        if not count or at in found:
            continue
        if count == body:
            found[at] = _cut(model, net.classes, task, stage.side_px)
        elif asked.keep_features == "yes":
            drawn = dry_run.drawn(net.model, net.classes, net.stages[-1].side_px)
            found[at] = cut_inside(drawn, set(layers[:count]), stage.side_px)
    return {at: cut for at, cut in found.items() if cut}


def _cut(model: nn.Module, classes: int, task: Task, side_px: int) -> Cut | None:
    """Where the model can be cut before its head; no task but classification says that it can."""
    batch = task.dummy_batch(side_px, torch.device("meta"), torch.float32)
    with torch.no_grad():
        return cut_before_head(model, classes, lambda: task.dry_run(model, batch))


def _stem_notes(net: _Net, model: nn.Module) -> Sequence[str]:
    """A hint where a model's first layers leave little of a small image."""
    side_px = net.smallest_px
    divided = dry_run.reduction(model, side_px)
    if side_px > _SMALL_PX or divided < _COARSE or getattr(net.model, "stem", "") != "own":
        return ()
    return (
        f'the first layers of "{net.model.name}" leave {math.ceil(side_px / divided)} px of images of {side_px} px; '
        'model.stem = "small" keeps more',
    )


def _rate_notes(net: _Net, model: nn.Module, layers: Sequence[str]) -> Sequence[str]:
    """How far learning rates fall with depth, where they do."""
    decay = net.train.layer_lr_decay
    if decay == 1:
        return ()
    factors = sorted(set(rate_factors(model, layers, net.classes, decay).values()))
    return (f"learning rates fall with depth over {len(factors)} blocks: from 1 at the head to {factors[0]:.2g}",)


def _weights_notes(recipe: Recipe, net: _Net, weights: Weights) -> Sequence[str]:
    """Which of the first weights fit the model, and whether they decide how images are normalised."""
    model = dry_run.built(net.model, net.classes, net.sides_px[-1])
    fitted = f"first weights from {weights.origin}: {weights.fitted(net.model, model, net.classes).describe()}"
    if recipe.data.normalize != "auto" or not weights.moments:
        return (fitted,)
    whose = "the first weights come with"
    if weights.are_usual:
        whose = f'published weights of "{recipe.model.name}" take, since the file states none'
    return fitted, f"images are normalised by the mean and standard deviation that {whose}"
