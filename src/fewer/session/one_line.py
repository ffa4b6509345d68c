"""The choice of a recipe for a source alone: `fewer train photos/`.

It goes by what is found: first weights at hand or not, size and number of the images, the machine. All that is chosen
stands in the recipe's text, which becomes the run folder's own; a key that the user gives stays as it is given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.core.allocation import even_sizes
from fewer.core.messages import KeyPath
from fewer.core.types import Stage
from fewer.data import sources
from fewer.machine.device import device_kind
from fewer.models.hub import is_kept
from fewer.models.recognition import network_of
from fewer.plan.facts import DataFacts
from fewer.plan.gather import data_facts
from fewer.plan.plan import Plan
from fewer.plan.savings import together
from fewer.recipe import fitting, shipped, stage_fitting
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe
from fewer.session.build import make_plan, open_data
from fewer.session.probe import Outlook, outlook

TINY_PX, SMALL_PX = 24, 64  # up to these, nets for tiny and for small images
_PHOTO_MODEL = "mobilenet_v2"  # of the recipe that fine-tunes
# Of photos, the largest that there is time for; where weights are tuned, that of evaluation and of the head's features.
SIDES_PX = {"cuda": (224, 160, 128, 96), "cpu": (128, 96)}
_TUNED_PX = {"cuda": (224, 192, 160, 128, 96), "cpu": (192, 160, 128, 96)}
_TRAINED = 0.75  # of the side that is evaluated: random crops enlarge what they show
PATIENCE_S = 30 * 60
OVERHEAD = 1.2  # loading and the optimizer, beside what is probed
# Steps that a recipe, or each of its stages, should have, within the fewest and the most epochs.
_STEPS = {
    "small-standard": ((464, 10, 40),),
    "photos-finetune": ((500, 8, 40), (125, 2, 10)),
    "photos-standard": ((800, 12, 40),),
    "boxes-standard": ((1500, 12, 60),),
    "masks-standard": ((1500, 12, 60),),
}
_DENSE = {"boxes": "boxes-standard", "masks": "masks-standard"}  # by what the images are annotated with
_BATCH = {"boxes-standard": 8, "masks-standard": 8}  # of these recipes
FAST = "cifar-fast"  # of small images, where the user decides nothing that it decides
_SMALL = ("tiny-standard", "small-standard", FAST)  # whose batches follow the number of images
FAST_STEPS, FAST_STEPS_EACH = (464, 10, 40), 32  # of a run, and at least of an epoch, as the speed run has
_OF_FAST = {"optimizer", "side_px", "evaluation_side_px", "budget", "batch_ramp"}
_EVIDENCE = (
    "Muon and the other settings, in stages of 20, 26 and 32 px, were 2.4 points better than plain SGD training of the "
    "same cost, on 20,000 images of CIFAR-10 (docs/results.md, image sides)"
)
_ADVICE = "model.weights=default would start from ImageNet's weights, a download, and do better with few photos"


@dataclass(frozen=True)
class Choice:
    """A recipe that was chosen.

    Attributes:
        name: The shipped recipe that it comes from.
        text: Its text, fitted to the data.
        recipe: The same, checked, with the user's keys.
        plan: Its plan.
        seconds: What training will take here, least and most, loading included; 0 where that was not timed.
        why: Why it is not plain training; often nothing.
        outlook: What the plan will take, by the probe behind `seconds`; None where that was not timed.
    """

    name: str
    text: str
    recipe: Recipe
    plan: Plan
    seconds: tuple[float, float]
    why: str = ""
    outlook: Outlook | None = None

    def lines(self, time: str) -> list[str]:
        """What was chosen, what it takes, and how to change it.

        Args:
            time: What it will take, in words.
        """
        data, machine, model = self.plan.facts.data, self.plan.facts.machine, self.recipe.model
        epochs, stages = self.plan.epochs, self.plan.stages
        evaluated_px = stages[-1].evaluation_side_px
        evaluated = f", evaluated at {evaluated_px} px" if evaluated_px != stages[-1].side_px else ""
        images = data.train_images + data.val_images + data.test_images
        classes = "1 class" if len(data.classes) == 1 else f"{len(data.classes)} classes"
        begins = "random weights" if model.weights == "none" else "the weights given"
        where = f"{machine.device}, {machine.threads} thread{'s'[: machine.threads > 1]}"
        advice = f"; {_ADVICE}" if self.name == "photos-standard" else ""
        return [
            f"chosen: {self.name}, for {images:,} images of {data.native_side_px} px in {classes}: "
            f"{model.name} from {begins}, {', then '.join(map(_in_words, stages))}{evaluated}",
            *([f"why:    {self.why}"] if self.why else []),
            f"takes:  {time} on this machine ({where}){advice}",
            f"change: add keys, such as train.epochs={2 * epochs}, or write the recipe with `fewer init` and edit it",
        ]


def choose(source: str, overrides: Sequence[str] = (), processes: int = 1, timed: bool = True) -> Choice:
    """The recipe for a source.

    Args:
        source: A text such as `digits` or `folder:PATH`; a path is relative to the current folder.
        overrides: `key=value` texts.
        processes: Processes that will train together.
        timed: Whether the machine's speed may decide; it must not where every process chooses for itself.

    Raises:
        FewerError: Whatever is wrong with the source or the keys.
    """
    fitting.require_fitting(source, overrides, (*fitting.CHOSEN, FAST))
    asked, base = fitting.asked_for(overrides, source), Path.cwd()
    splits = open_data(parse_recipe({"data": asked["data"], "model": {"name": "lenet5"}}, base=base))
    data = data_facts(splits)
    name, values = _recipe_for(data, asked)
    values["data", "source"] = sources.absolute(source, base)
    values |= fitting.left_out(name, overrides)
    for sides in side_choices(name, asked, data):
        values |= sides
        recipe = parse_recipe(tomllib.loads(shipped.fitted(shipped.text(name), values)), overrides, base=base)
        plan = make_plan(recipe, splits, processes)
        expected = outlook(plan) if timed else None
        low, high = expected.seconds if expected else (0.0, 0.0)
        seconds = low * OVERHEAD, high * OVERHEAD
        if seconds[1] < PATIENCE_S:
            break
    text = shipped.fitted(shipped.text(name), values | fitting.given(overrides, recipe))
    return Choice(name, text, recipe, plan, seconds, _why(plan) if name == FAST else "", expected)


def _why(plan: Plan) -> str:
    """What growing images save, by the plan."""
    share = sum(map(plan.budget.of_images, range(plan.epochs))) / together(plan.stage_costs).plain_flops
    sides = plan.stages[0].side_px, plan.stages[-1].side_px
    grown = f"images that grow from {sides[0]} to {sides[1]} px take {share:.0%} of plain training's arithmetic"
    return f"{grown}; {_EVIDENCE}"


def _in_words(stage: Stage) -> str:
    what = " of the head" if stage.frozen_layers else ""
    return f"{stage.epochs} epoch{'s'[: stage.epochs > 1]}{what} at {stage.side_px} px"


def _recipe_for(data: DataFacts, asked: Mapping[str, Any]) -> tuple[str, dict[KeyPath, Any]]:
    """The shipped recipe, and the values of its keys that follow from the data and from what is asked.

    Args:
        data: What is known of the data.
        asked: The user's keys, by section.
    """
    name, values = _named(data, asked)
    train, images = asked.get("train", {}), data.train_images
    epochs, content = train.get("epochs"), shipped.ready_recipe(name)
    batch = _BATCH.get(name, content["train"]["batch_size"])
    if name not in _SMALL:
        values["train", "batch_size"] = batch = max(2, min(batch, images // 4))
        return name, values | fitting_epochs(name, images, epochs, batch)
    fitted = stage_fitting.batch_sizes(content, images, fewest_steps(name))
    if "batch_size" not in train:
        values |= fitted
        batch = fitted.get(("train", "batch_size"), batch)
    if name != FAST:
        return name, values | fitting_epochs(name, images, epochs, batch)
    own, (steps, least, most) = train.get("batch_size"), FAST_STEPS
    size = own if isinstance(own, int) else fitted.get(("train", "batch_size"), batch)
    total = epochs or min(max(round(steps * size / images), least), most)
    return name, values | stage_fitting.epochs(content, total)


def _named(data: DataFacts, asked: Mapping[str, Any]) -> tuple[str, dict[KeyPath, Any]]:
    """The shipped recipe, and the keys of the model that its weights bring; as for `_recipe_for`."""
    model, train = asked.get("model", {}), asked.get("train", {})
    weights, side = model.get("weights", "none"), data.native_side_px
    if data.annotations != "classes":
        return _DENSE[data.annotations], {}
    if "weights" not in model and "name" not in model and side > SMALL_PX and is_kept(_PHOTO_MODEL):
        weights = "default"
    if weights != "none":
        network = network_of(weights) if weights != "default" and "name" not in model else {}
        return "photos-finetune", {("model", key): value for key, value in {"weights": weights, **network}.items()}
    if side <= TINY_PX or side > SMALL_PX:
        return "tiny-standard" if side <= TINY_PX else "photos-standard", {}
    decides = {"model", "stages"} & set(asked) or _OF_FAST & set(train) or train.get("epochs") == 1
    return "small-standard" if decides else FAST, {}


def fewest_steps(name: str) -> int:
    """Steps that an epoch of a recipe has at least, as far as its batches do not become tiny."""
    return FAST_STEPS_EACH if name == FAST else stage_fitting.FEWEST_STEPS


def fitting_epochs(name: str, images: int, asked: int | None, batch: int) -> dict[KeyPath, Any]:
    """The epochs of a recipe, or of each of its stages, as its keys; what is asked for is shared out in halves.

    Args:
        name: The recipe.
        images: Training images.
        asked: All epochs together, if the user says it.
        batch: Images of a batch.
    """
    if name not in _STEPS:
        return {}
    each = [min(max(round(steps * batch / images), least), most) for steps, least, most in _STEPS[name]]
    if len(each) == 1:
        return {("train", "epochs"): each[0]}
    if asked is not None:
        each = even_sizes(max(asked, len(each)), len(each))
    return {("stages", str(index), "epochs"): count for index, count in enumerate(each)}


def side_choices(name: str, asked: dict[str, Any], data: DataFacts) -> Sequence[dict[KeyPath, Any]]:
    """Image sides to choose from, the largest first, as keys of the recipe."""
    whole, tuned, evaluated = ("train", "side_px"), ("stages", "1", "side_px"), ("stages", "1", "evaluation_side_px")
    tunes = name == "photos-finetune"
    if name not in _STEPS or name in _DENSE.values() or "stages" in asked or "side_px" in asked.get("train", {}):
        return ({tuned: None, evaluated: None} if tunes else {},)
    native = max(32, -(-data.native_side_px // 32) * 32)
    usual = (_TUNED_PX if tunes else SIDES_PX)[device_kind()]
    sides = [side for side in usual if side <= native] or [native]
    if not tunes:
        return [{whole: side} for side in sides]
    return [{whole: side, tuned: max(32, int(side * _TRAINED / 32) * 32), evaluated: side} for side in sides]
