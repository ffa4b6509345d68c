"""Keys of a recipe that are right one by one but not together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fewer.core.clock import Duration
from fewer.recipe.schema import Recipe
from fewer.recipe.unused_keys import misplaced, without_effect_in_task
from fewer.tasks.classify import losses

if TYPE_CHECKING:
    from fewer.select.base import MethodParams

Problem = tuple[tuple[str, ...], str]  # the key's path, and what is wrong with it


def problems(recipe: Recipe, content: Any) -> list[Problem]:
    """All of them.

    Args:
        recipe: The recipe, checked key by key.
        content: The recipe as it was given, to tell what was asked from what is a default.
    """
    checks = (_epochs, _optimizer, _averages, _spans, _batches, _selection, _loss)
    found = [problem for check in checks for problem in check(recipe, content)]
    return [*found, *_views(recipe), *_splits(recipe)]


def _epochs(recipe: Recipe, content: Any) -> Iterator[Problem]:
    asked, total = recipe.train.epochs, recipe.epochs
    if recipe.stages and "epochs" in content.get("train", {}) and asked != total:
        text = f"train.epochs = {asked}, but the stages take {total} epochs; leave train.epochs out"
        yield ("train", "epochs"), text


def _optimizer(recipe: Recipe, content: Any) -> Iterator[Problem]:
    train = recipe.train
    yield from misplaced(train, content.get("train", {}))
    if train.optimizer == "sgd" and train.nesterov and train.momentum == 0:
        yield ("train", "momentum"), "Nesterov needs momentum above 0; set train.nesterov = false"


def _averages(recipe: Recipe, content: Any) -> Iterator[Problem]:
    ema, every = recipe.train.ema, recipe.out.checkpoint_every
    if isinstance(ema, Duration) and not ema.value:
        yield ("train", "ema"), f'train.ema = "{ema}" averages nothing; set train.ema = "off"'
    if not every.value:
        text = f'out.checkpoint_every = "{every}": more than nothing must lie between checkpoints; try "1ep"'
        yield ("out", "checkpoint_every"), text


def _spans(recipe: Recipe, content: Any) -> Iterator[Problem]:
    """Durations that must be known before training, and fit into it."""
    train = recipe.train
    spans = {f"train.{name}": getattr(train, name) for name in ("warmup", "ema", "cycle_peak", "step_every")}
    spans |= {f"train.step_at.{number}": span for number, span in enumerate(train.step_at)}
    spans |= {"train.lookahead.start": train.lookahead.start} if train.lookahead else {}
    spans |= {"task.reweight_from": recipe.task.reweight_from}
    spans |= {f"select.{name}": span for name, span in recipe.select}
    spans |= {f"select.guards.{name}": span for name, span in getattr(recipe.select, "guards", ())}
    for name, span in spans.items():
        if not isinstance(span, Duration):
            continue
        if span.unit not in ("ep", "%"):
            yield tuple(name.split(".")), f'{name} = "{span}": only "ep" and "%" are known before training'
        elif span.in_epochs(recipe.epochs) > recipe.epochs:
            yield tuple(name.split(".")), f'{name} = "{span}" is longer than the run of {recipe.epochs} epochs'


def _selection(recipe: Recipe, content: Any) -> Iterator[Problem]:
    """What the method itself finds amiss among its keys."""
    chosen: MethodParams = recipe.select  # type: ignore[assignment]
    for key, sentence in chosen.conflicts(recipe.epochs).items():
        yield ("select", key), f"select.{key} = {json.dumps(getattr(chosen, key), default=str)} {sentence}"


def _batches(recipe: Recipe, content: Any) -> Iterator[Problem]:
    train = recipe.train
    smallest = min([train.batch_size, *(stage.batch_size or train.batch_size for stage in recipe.stages)])
    if train.accumulate > smallest:
        text = f"train.accumulate = {train.accumulate} cuts a batch of {smallest} into empty parts; at most {smallest}"
        yield ("train", "accumulate"), text


def _loss(recipe: Recipe, content: Any) -> Iterator[Problem]:
    """The loss, what it needs of the model, and what has no effect with it."""
    task, model = recipe.task, recipe.model
    given = content.get("task", {})
    for key, reason in without_effect_in_task(task).items():
        if key in given:
            yield ("task", key), f"task.{key} has no effect {reason}; leave it out"
    if task.loss == "ldam" and model.head != "normalized":
        text = f'task.loss = "ldam" measures its margins in cosines, and model.head = "{model.head}" has none'
        yield ("task", "loss"), f'{text}; set model.head = "normalized"'
    if model.head_scale is not None and model.head != "normalized":
        text = f'model.head_scale = {model.head_scale:g} has no effect with model.head = "{model.head}"'
        yield ("model", "head_scale"), f'{text}; leave it out, or set model.head = "normalized"'
    if recipe.train.label_smoothing and not losses.smooths(task.loss):
        text = f'train.label_smoothing = {recipe.train.label_smoothing:g} is not defined for task.loss = "{task.loss}"'
        yield ("train", "label_smoothing"), f"{text}; leave one of the two out"


def _views(recipe: Recipe) -> Iterator[Problem]:
    augment = recipe.augment
    if augment.perspective and not augment.perspective_share:
        text = (
            f"augment.perspective = {augment.perspective} is given to no view while augment.perspective_share = 0; "
            "leave the share out, or set augment.perspective = 0"
        )
        yield ("augment", "perspective_share"), text
    if augment.crop == "random_resized" and augment.crop_padding_px:
        text = f'augment.crop_padding_px = {augment.crop_padding_px} beside augment.crop = "random_resized"'
        yield ("augment", "crop_padding_px"), f"{text}: one crop only; leave it out"
    for key, most in (("crop_scale", 1.0), ("crop_ratio", 100.0)):
        low, high = getattr(augment, key)
        if not low <= high <= most:
            text = f"augment.{key} = [{low:g}, {high:g}]: two ascending numbers of at most {most:g}"
            yield ("augment", key), f"{text}, e.g. {list(type(augment).model_fields[key].default)}"


def _splits(recipe: Recipe) -> Iterator[Problem]:
    from fewer.data import sources

    for name in ("val", "test"):
        value = getattr(recipe.data, name)
        share = re.fullmatch(r"(\d+(?:\.\d+)?)%", value)
        if share and not 0 < float(share[1]) < 100:
            yield ("data", name), f'data.{name} = "{value}": a held-out share lies between 0% and 100%'
        words = ("none", "auto") if name == "test" else ("none",)
        if not share and value not in words and not sources.is_source(value):
            yield ("data", name), f'data.{name} = "{value}": give a share ("5%"), a source, or "none"'
    if not sources.is_source(source := recipe.data.source):
        yield ("data", "source"), f'unknown data.source "{source}"; {sources.allowed(source)}'
