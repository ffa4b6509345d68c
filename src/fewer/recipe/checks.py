"""Keys of a recipe that are right one by one but not together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fewer import tasks
from fewer.core.sections import Problem, check_section
from fewer.core.spending import seconds_of
from fewer.optim import averages_of
from fewer.optim.averaging import AVERAGES
from fewer.recipe.schema import AUTO_BATCH, AUTO_LR, Recipe
from fewer.select.method_params import ScoredParams
from fewer.sync.local_params import LocalParams

CLASSIFY = "classify"
_SIDES = 8  # of a ramp
_COMPILED_SIDES = 4  # with two batch sizes each as many graphs as torch.compile keeps of one function


def problems(recipe: Recipe, content: Any) -> list[Problem]:
    """All of them.

    Args:
        recipe: The recipe, checked key by key.
        content: The recipe as it was given, to tell what was asked from what is a default.
    """
    found = list(_epochs(recipe, content))
    for name in ("augment", "model", "task", "train", "select", "sync"):
        found += check_section(getattr(recipe, name), name, recipe.epochs)
    checks = (
        _rates, _growth, _ramps, _patience, _checkpoints, _batches, _loss, _mixing, _strength, _views, _splits,
        _averages, _scores, _whole_pictures,
    )  # fmt: skip
    return [*found, *(problem for check in checks for problem in check(recipe))]


def _growth(recipe: Recipe) -> Iterator[Problem]:
    """Batches that grow by the schedule, and what moves the schedule on the way or already answers its fall."""
    train, place = recipe.train, ("train", "batch_ramp")
    if train.batch_ramp == "off":
        return
    text = f"train.batch_ramp = {train.batch_ramp}"
    if getattr(train, "cycle_momentum", "off") != "off":
        yield place, f'{text} keeps the rate high while train.cycle_momentum raises the momentum; set that to "off"'
    if seconds_of(train.budget) is not None:
        why = f'train.budget = "{train.budget}" moves the schedule by the clock'
        yield place, f"{text} needs the batches of every epoch beforehand, and {why}; give the budget in FLOPs"
    if train.patience != "off":
        why = f'train.patience = "{train.patience}" may move the schedule on'
        yield place, f"{text} needs the batches of every epoch beforehand, and {why}; leave one of the two out"


def _epochs(recipe: Recipe, content: Any) -> Iterator[Problem]:
    asked, total = recipe.train.epochs, recipe.epochs
    if recipe.stages and "epochs" in content.get("train", {}) and asked != total:
        text = f"train.epochs = {asked}, but the stages take {total} epochs; leave train.epochs out"
        yield ("train", "epochs"), text


def _rates(recipe: Recipe) -> Iterator[Problem]:
    """Keys of the learning rate that do nothing, and a ramp in minutes."""
    train = recipe.train
    if train.lr_scaling == "none":
        for key in ("lr_batch_size", "lr_max"):
            if (value := getattr(train, key)) is not None:
                text = f'train.{key} = {value:g} has no effect with train.lr_scaling = "none"'
                yield ("train", key), f'{text}; leave it out, or set train.lr_scaling = "linear"'
    elif train.batch_size == AUTO_BATCH and train.lr_batch_size is None:
        text = f'train.lr_scaling = "{train.lr_scaling}" with train.batch_size = "auto" lacks the batch of train.lr'
        yield ("train", "lr_scaling"), f"{text}; give train.lr_batch_size, such as 128"
    if train.lr == AUTO_LR and train.lr_max is not None:
        text = f'train.lr_max = {train.lr_max:g} caps a rate that is given, and train.lr = "{AUTO_LR}" finds one'
        yield ("train", "lr_max"), f"{text}; leave one of the two out"
    for index, stage in enumerate(recipe.stages):
        if stage.lr_ramp.unit == "min":
            text = f'stages.{index}.lr_ramp = "{stage.lr_ramp}" cannot be known in epochs beforehand'
            yield (
                ("stages", str(index), "lr_ramp"),
                f'{text}; give epochs ("1ep"), a share ("10%") or steps ("100step")',
            )


def _ramps(recipe: Recipe) -> Iterator[Problem]:
    """Sides that batches draw from, and what does not go with them."""
    for index, stage in enumerate(recipe.stages):
        name, sides = f"stages.{index}", list(stage.ramp_px)
        if stage.ramp == "off":
            for key in ("ramp_px", "ramp_spread", "ramp_uniform"):
                if getattr(stage, key) != type(stage).model_fields[key].default:
                    text = f'{name}.{key} has no effect with {name}.ramp = "off"'
                    yield ("stages", str(index), key), f'{text}; leave it out, or set {name}.ramp = "timm"'
            continue
        most = _COMPILED_SIDES if recipe.train.compile != "no" else _SIDES
        if sides != sorted(set(sides)) or not 2 <= len(sides) <= most:
            why = f' with train.compile = "{recipe.train.compile}"' if most == _COMPILED_SIDES else ""
            text = f"{name}.ramp_px = {sides}: a ramp takes two to {most} ascending sides{why}"
            yield ("stages", str(index), "ramp_px"), f"{text}; give some, such as [128, 160, 192, 224]"
        elif stage.side_px not in (None, sides[-1]):
            text = f"{name}.side_px = {stage.side_px} beside {name}.ramp_px = {sides}, which ends at {sides[-1]} px"
            yield ("stages", str(index), "side_px"), f"{text}; leave side_px out"


def _patience(recipe: Recipe) -> Iterator[Problem]:
    """Patience needs something to watch, often enough."""
    patience, budget = recipe.train.patience, recipe.train.budget
    if seconds_of(budget) is not None:
        if patience != "off":
            text = f'train.patience = "{patience}" and train.budget = "{budget}" both end the run'
            yield ("train", "patience"), f"{text}; leave one of the two out"
        if recipe.stages and recipe.stages[-1].data_share < 1:
            text = f'train.budget = "{budget}" may lengthen the last stage, whose images take turns (data_share)'
            yield ("train", "budget"), f"{text}; give the last stage all images, or the budget in FLOPs"
    if patience == "off":
        return
    lacks = {
        'data.val = "none"': recipe.data.val == "none" and 'give a validation set, such as data.val = "10%"',
        "evaluate.every = 0": recipe.evaluate.every == 0 and "set evaluate.every = 1",
    }
    for reason, fix in lacks.items():
        if fix:
            yield ("train", "patience"), f'train.patience = "{patience}" watches validations, and {reason}; {fix}'
    if not patience.value:
        yield (
            ("train", "patience"),
            f'train.patience = "{patience}" is no time at all; give epochs, or "off"',
        )


def _checkpoints(recipe: Recipe) -> Iterator[Problem]:
    every = recipe.out.checkpoint_every
    if not every.value:
        text = f'out.checkpoint_every = "{every}": more than nothing must lie between checkpoints; try "1ep"'
        yield ("out", "checkpoint_every"), text
    for moment in recipe.out.keep_at:
        in_epochs = moment.in_epochs(recipe.epochs) if moment.unit in ("ep", "%") else 0.0
        if not 0 < in_epochs <= recipe.epochs:
            text = f'out.keep_at: "{moment}" is no moment of a run of {recipe.epochs} epochs'
            yield ("out", "keep_at"), f'{text}; give epochs ("8ep") or shares ("50%")'


def _batches(recipe: Recipe) -> Iterator[Problem]:
    train = recipe.train
    sizes = [train.batch_size, *(stage.batch_size or train.batch_size for stage in recipe.stages)]
    smallest = min((size for size in sizes if size != AUTO_BATCH), default=train.accumulate)
    if train.accumulate > smallest:
        text = f"train.accumulate = {train.accumulate} cuts a batch of {smallest} into empty parts; at most {smallest}"
        yield ("train", "accumulate"), text


def _loss(recipe: Recipe) -> Iterator[Problem]:
    """A loss, and what it needs of the model and of the training."""
    task, model, smoothing = recipe.task, recipe.model, recipe.train.label_smoothing
    if getattr(task, "needs_cosines", False) and model.head != "normalized":
        name = task.loss  # type: ignore[attr-defined]
        text = f'task.loss = "{name}" measures its margins in cosines, and model.head = "{model.head}" has none'
        yield ("task", "loss"), f'{text}; set model.head = "normalized"'
    if smoothing and not getattr(task, "smooths", task.name == CLASSIFY):
        loss = getattr(task, "loss", None)
        what = f'task.loss = "{loss}"' if loss else f'task.name = "{task.name}"'
        text = f"train.label_smoothing = {smoothing:g} is not defined for {what}"
        yield ("train", "label_smoothing"), f"{text}; leave one of the two out"


def _whole_pictures(recipe: Recipe) -> Iterator[Problem]:
    """What cannot be done to pictures that are shown whole, with boxes or masks."""
    augment, task = recipe.augment, recipe.task
    if tasks.module(task.name).ANNOTATIONS == "classes":
        return
    what = f'task.name = "{task.name}" shows whole pictures'
    if augment.crop == "random_resized":
        fix = "leave it out, and zoom by augment.scale = [0.5, 2.0]"
        yield ("augment", "crop"), f'augment.crop = "random_resized" cuts squares out of pictures, and {what}; {fix}'
    for number, stage in enumerate(recipe.stages):
        strengths = stage.strength if isinstance(stage.strength, tuple) else (stage.strength,)
        if stage.mix and 0 in strengths and augment.mixes:
            text = f"stages.{number}.mix = {stage.mix:g} with strength 0 would mix views of an evaluation, and {what}"
            yield ("stages", str(number), "mix"), f"{text}; give the stage a strength above 0"
    if getattr(recipe.select, "scorer_side_px", None):
        text = f"select.scorer_side_px = {recipe.select.scorer_side_px} shrinks images, and {what}"  # type: ignore[attr-defined]
        yield ("select", "scorer_side_px"), f"{text}, whose boxes or masks would stay; leave it out"


def _mixing(recipe: Recipe) -> Iterator[Problem]:
    """What is mixed, and whether the loss takes it."""
    augment, task = recipe.augment, recipe.task
    if not augment.mixes:
        for number, stage in enumerate(recipe.stages):
            if stage.mix is not None:
                text = f"stages.{number}.mix = {stage.mix:g} has no effect, as augment mixes nothing"
                yield ("stages", str(number), "mix"), f"{text}; leave it out, or set augment.mixup_alpha = 0.2"
        return
    is_dense = tasks.module(task.name).ANNOTATIONS != "classes"
    for key in ("mosaic", "copy_paste"):
        if getattr(augment, key) and not is_dense:
            text = f'augment.{key} = {getattr(augment, key):g} moves boxes and masks, and task.name = "{task.name}"'
            yield ("augment", key), f"{text} has none; leave it out, or take augment.cutmix_alpha = 1.0"
    if (augment.mixup_alpha or augment.cutmix_alpha) and not getattr(task, "mixes", False):
        key = "mixup_alpha" if augment.mixup_alpha else "cutmix_alpha"
        text = f"augment.{key} = {getattr(augment, key):g} gives images two labels, and"
        if is_dense:
            what, fix = f'task.name = "{task.name}" takes none', "take augment.mosaic or augment.copy_paste"
        else:
            loss = getattr(task, "loss", None)
            what = f'task.loss = "{loss}" is defined for one label an image' if loss else f'task.name = "{task.name}"'
            fix = 'take "cross_entropy" or "logit_adjustment"'
        yield ("augment", key), f"{text} {what}; leave {key} out, or {fix}"


def _strength(recipe: Recipe) -> Iterator[Problem]:
    """A strength that changes takes two epochs."""
    for number, stage in enumerate(recipe.stages):
        if isinstance(stage.strength, tuple) and stage.epochs == 1:
            ends = f"[{stage.strength[0]:g}, {stage.strength[1]:g}]"
            text = f"stages.{number}.strength = {ends} changes from epoch to epoch, and the stage has one"
            yield ("stages", str(number), "strength"), f"{text}; give it epochs = 2 or more, or one strength"


def _averages(recipe: Recipe) -> Iterator[Problem]:
    """Averages of the weights that cannot follow workers which hold weights of their own between syncs."""
    if not isinstance(recipe.sync, LocalParams):
        return
    method = f'sync.method = "{recipe.sync.method}"'
    for name in averages_of(recipe.train):
        if not getattr(AVERAGES.module(name), "FOLLOWS_SYNCS", False):
            text = f"train.{name} needs equal weights behind every step, and the workers of {method} differ between"
            yield ("train", name), f'{text} syncs; leave it out, or set sync.method = "every_step"'


def _scores(recipe: Recipe) -> Iterator[Problem]:
    """A method that goes by the loss of each sample, or weighs it, and a task that gives one a batch."""
    chosen, task = recipe.select, recipe.task.name
    if getattr(tasks.module(task), "PER_IMAGE_LOSSES", True):
        return
    text = f'losses of single images, and task.name = "{task}" gives one for a whole batch'
    if isinstance(chosen, ScoredParams) and not chosen.averages_batches:
        fix = 'take select.method = "random"' if chosen.needs_looks else 'set select.score = "batch"'
        yield ("select", "score"), f'select.score = "{chosen.score}" goes by {text}; {fix}'
    if (weights := getattr(chosen, "weights", "none")) != "none":
        yield ("select", "weights"), f'select.weights = "{weights}" weighs {text}; set select.weights = "none"'


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
    bounds = {"crop_scale": 1.0, "crop_ratio": 100.0, "erasing_scale": 1.0, "erasing_ratio": 100.0}
    for key, most in bounds.items():
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
        if not share and value not in ("none", "auto") and not sources.is_source(value):
            what = "no folder or tar lies there; " if set("/~.") & set(value) else ""
            yield ("data", name), f'data.{name} = "{value}": {what}give a share ("5%"), a source, "auto" or "none"'
    level = recipe.data.class_level
    if isinstance(level, int) and not any(map(sources.has_class_folders, (recipe.data.source, recipe.data.test))):
        text = f"data.class_level = {level}: only sources of class folders take it (folder:PATH, tar:PATH)"
        yield ("data", "class_level"), f"{text}; leave it out"
    if (void := recipe.data.ignore_index) is not None and not sources.ignores(recipe.data.source):
        text = f"data.ignore_index = {void}: only masks have ids that can be void (masks:PATH)"
        yield ("data", "ignore_index"), f"{text}; leave it out"
    if recipe.data.strata != "auto" and not sources.has_masks(recipe.data.source):
        text = f'data.strata = "{recipe.data.strata}": only masks are drawn by chance (masks:PATH, or lists of these)'
        yield ("data", "strata"), f"{text}; leave it out"
    used = recipe.data.source, recipe.data.val, recipe.data.test
    if (asked := recipe.data.difficult) != "train" and not any(map(sources.marks_difficult, used)):
        text = f'data.difficult = "{asked}": only boxes of VOC and COCO can be marked as difficult'
        yield ("data", "difficult"), f"{text} (voc:PATH, coco:PATH, or lists of these); leave it out"
    if not sources.is_source(source := recipe.data.source):
        yield ("data", "source"), f'unknown data.source "{source}"; {sources.allowed(source)}'
