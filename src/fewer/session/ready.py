"""A ready recipe that is asked for by name, fitted to a source's images and to this machine: `fewer init`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewer.core.errors import RecipeError
from fewer.core.messages import KeyPath
from fewer.data import sources
from fewer.machine.device import device_kind
from fewer.machine.memory import USABLE
from fewer.models.recognition import network_of
from fewer.plan.gather import data_facts
from fewer.recipe import fitting, shipped, stage_fitting
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import AUTO_BATCH
from fewer.report.units import roughly
from fewer.session import one_line
from fewer.session.build import make_plan, open_data
from fewer.session.probe import Outlook, outlook

if TYPE_CHECKING:
    from fewer.data.listing.splits import Split, Splits
    from fewer.data.sources import Source
    from fewer.plan.facts import DataFacts
    from fewer.plan.plan import Plan
    from fewer.recipe.schema import Recipe

_FEW = 1000  # validation images: where a share for millions of images leaves fewer, it becomes 5 %
_IMAGENET_PX = 224
_ONE_STAGE = (
    "photos-finetune",
    "photos-standard",
    "boxes-standard",
    "masks-standard",
)  # whose sides are found as for a source alone
_FAMILIES = {"tiny": ("tiny", "cifar"), "cifar": ("cifar",), "photos": ("photos",)}
# Steps that a training should have, within the fewest and the most epochs; those for ImageNet keep what was published.
_STEPS = {
    "photos-finetune": (625, 10, 50),
    "photos": (800, 12, 40),
    "cifar-finetune": (500, 4, 20),
    one_line.FAST: one_line.FAST_STEPS,
    "cifar": (464, 10, 40),
}


@dataclass(frozen=True)
class Ready:
    """A ready recipe that was fitted.

    Attributes:
        name: Its name.
        text: Its text for these images, comments included.
        recipe: The same, checked.
        plan: Its plan.
        seconds: What training will take here, roughly; 0 where that was not timed.
        changes: What was fitted and why, a line each.
    """

    name: str
    text: str
    recipe: Recipe
    plan: Plan
    seconds: float
    changes: tuple[str, ...]


def fit_ready(name: str, source: str, overrides: Sequence[str] = (), timed: bool = True) -> Ready:
    """Fits a ready recipe to a source.

    Args:
        name: The recipe's name; an ending such as `progressive` means the one for images of this size.
        source: A text such as `digits` or `folder:PATH`; a path is relative to the current folder.
        overrides: `key=value` texts. `train.epochs` and `train.side_px` of a recipe with stages are spread over them.
        timed: Whether the machine's speed may decide about the side of photos.

    Raises:
        RecipeError: There is no such recipe.
        FewerError: Whatever is wrong with the source or the keys.
    """
    names = shipped.named(name)
    fitting.require_fitting(source, _totals(names[0], overrides)[1], names)
    native = _opened(source, {}, overrides)
    _require_annotated(name, names, native.train.source)
    name = _for_images(names, native.train)
    # Those that a source alone may get have rules of their own for what is asked.
    spread, overrides = ({}, overrides) if name in fitting.CHOSEN else _totals(name, overrides)
    found = _Fitting(name, source, overrides, spread)
    splits = found.fit_data(native)
    found.fit_model()
    found.fit_batches_and_epochs(data_facts(splits))
    found.fit_device()
    plan, seen = found.fit_sides(splits, timed)
    if seen:
        plan = found.fit_memory(splits, plan, seen)
    seconds = seen.seconds[1] * one_line.OVERHEAD if seen else 0.0
    return Ready(name, found.text(plan.recipe), found.recipe(), plan, seconds, tuple(found.changes))


def _require_annotated(asked: str, names: Sequence[str], source: Source) -> None:
    """Refuses recipes of classes for boxes or masks, and the other way round.

    Args:
        asked: What the user calls them.
        names: The recipes that it means.
        source: The images.

    Raises:
        RecipeError: None of them is for images that are annotated so.
    """
    kind = source.annotations
    if not any(kind == _annotated_for(each) for each in names):
        others = ", ".join(each for each in shipped.names() if kind == _annotated_for(each))
        raise RecipeError(f"--recipe {asked}: no recipe for {kind}, which {source.name} has; allowed: {others}")


def _annotated_for(name: str) -> str:
    """What images are annotated with that a recipe is for."""
    family = name.partition("-")[0]
    return family if family in ("boxes", "masks") else "classes"


def _for_images(names: Sequence[str], train: Split) -> str:
    """Which of several recipes of one ending is for these images."""
    annotations, side_px = train.source.annotations, train.native_side_px()
    if annotations != "classes":
        return next((each for each in names if each.startswith(f"{annotations}-")), names[0])
    size = "tiny" if side_px <= one_line.TINY_PX else "cifar" if side_px <= one_line.SMALL_PX else "photos"
    fits = (each for family in _FAMILIES[size] for each in names if each.startswith(f"{family}-"))
    return next(fits, names[0])


def _totals(name: str, overrides: Sequence[str]) -> tuple[dict[str, int], Sequence[str]]:
    """What of the user's keys is for all of a recipe's stages together, and the others."""
    if "stages" not in shipped.ready_recipe(name):
        return {}, overrides
    train = fitting.asked_for(overrides).get("train", {})
    found = {key: train[key] for key in ("epochs", "side_px") if isinstance(train.get(key), int)}
    if ("stages",) in fitting.given_paths(overrides):
        raise RecipeError('argument "stages=": the recipe has stages; give stages.0.epochs=5, or edit what is written')
    paths = [("train", key) for key in found]
    given = zip(overrides, fitting.given_paths(overrides), strict=True)
    return found, [text for text, path in given if path not in paths]


def _opened(source: str, data: Mapping[str, Any], overrides: Sequence[str]) -> Splits:
    """The images, as a recipe's [data] and the user's keys split them."""
    asked = fitting.asked_for(overrides).get("data", {})
    return open_data(parse_recipe({"data": {**data, **asked, "source": source}, "model": {"name": "lenet5"}}))


@dataclass
class _Fitting:
    """Values of a recipe's keys, found one after another, and why they are such; the user's own stay as they are."""

    name: str
    source: str
    overrides: Sequence[str]
    spread: Mapping[str, int]
    values: dict[KeyPath, Any] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.content = shipped.ready_recipe(self.name)
        self.given = fitting.given_paths(self.overrides)
        self.family = self.name.partition("-")[0]

    def fit_data(self, splits: Splits) -> Splits:
        """Takes the source, and splits it as its images allow."""
        self.values["data", "source"] = source = sources.absolute(self.source, Path.cwd())
        data = self.content["data"]
        if source == sources.absolute(data["source"], Path.cwd()):
            return _opened(self.source, data, self.overrides)
        if data.get("test") != "auto":
            self._take({("data", "test"): "auto"}, "the source's own test set, else 20 %")
        data = {**data, "test": self.values.get(("data", "test"), "auto")}
        splits = _opened(self.source, data, self.overrides)
        if data["val"] not in ("5%", "auto") and splits.val and len(splits.val) < _FEW:
            self._take({("data", "val"): "5%"}, f'"{data["val"]}" would be {len(splits.val)} images')
            splits = _opened(self.source, {**data, "val": "5%"}, self.overrides)
        return splits

    def fit_model(self) -> None:
        """Takes the network of the weights that the user gives."""
        model = self._asked("model")
        if model.get("weights", "none") not in ("none", "default") and "name" not in model:
            known = network_of(model["weights"])
            self._take({("model", key): value for key, value in known.items()}, "the network of these weights")

    def fit_batches_and_epochs(self, data: DataFacts) -> None:
        """Takes batches that an epoch has some of, and as many epochs as that asks for."""
        images, own = data.train_images, self._asked("train").get("batch_size")
        if not own:
            self._take(
                stage_fitting.batch_sizes(self.content, images, one_line.fewest_steps(self.name)),
                f"for {images:,} training images",
            )
        total = self.spread.get("epochs")
        # Those whose stages have batches of their own keep their epochs.
        fitted = self.values.get(("train", "batch_size"), self.content["train"].get("batch_size", 0))
        if own_rule := one_line.fitting_epochs(self.name, images, self._asked("train").get("epochs"), fitted):
            self._take(own_rule, f"for {images:,} training images")
            return
        if total is None and (steps := _STEPS.get(self.name) or _STEPS.get(self.family)):
            batch = own if own and own != AUTO_BATCH else fitted
            count, least, most = steps
            total = min(max(round(count * batch / images), least), most)
            why = f"{total} in all: {count} steps of {batch} images, within {least} and {most} epochs"
        else:
            why = f"{total} in all, as you ask"
        if total is not None:
            self._take(stage_fitting.epochs(self.content, total), why)

    def fit_device(self) -> None:
        """Leaves out what is for GPUs where there is none."""
        asked = {"precision": "auto", "compile": "no"} if device_kind() == "cpu" else {}
        keys = [key for key in asked if key in self.content["train"]]
        self._take({("train", key): asked[key] for key in keys}, "this machine trains on its processor")

    def fit_sides(self, splits: Splits, timed: bool) -> tuple[Plan, Outlook | None]:
        """Takes the largest sides that the images have and the machine has the time for."""
        slow = ""
        for values, why in self._sides(data_facts(splits)):
            plan = make_plan(self.recipe(values), splits)
            seen, reason = outlook(plan) if timed else None, slow or why
            if not seen or seen.seconds[1] * one_line.OVERHEAD < one_line.PATIENCE_S:
                break
            slow = f"larger ones would take {roughly(seen.seconds[1] * one_line.OVERHEAD)} on this machine"
        self._take(values, reason)
        return plan, seen

    def fit_memory(self, splits: Splits, plan: Plan, seen: Outlook) -> Plan:
        """Cuts batches into micro-batches where one would not fit into what memory is free."""
        free = plan.facts.machine.available_bytes
        if free is None or device_kind() != "cpu" or seen.memory_bytes <= USABLE * free:
            return plan
        parts = 2
        while parts * USABLE * free < seen.memory_bytes and parts < min(s.batch_size for s in plan.stages) // 4:
            parts *= 2
        need, has = (f"{each / 2**30:.1f} GiB" for each in (seen.memory_bytes, free))
        self._take({("train", "accumulate"): parts}, f"whole batches would take about {need} of memory, {has} are free")
        return make_plan(self.recipe(), splits)

    def recipe(self, values: Mapping[KeyPath, Any] | None = None) -> Recipe:
        """The recipe with what was found so far, and with further values."""
        return parse_recipe(tomllib.loads(self._written(values or {})), self.overrides, base=Path.cwd())

    def text(self, recipe: Recipe) -> str:
        """The recipe's text, the user's keys in it."""
        return self._written(fitting.given(self.overrides, recipe))

    def _sides(self, data: DataFacts) -> list[tuple[dict[KeyPath, Any], str]]:
        """Values of the sides to choose from, the largest first, and why."""
        if asked := self.spread.get("side_px"):
            return [(stage_fitting.sides(self.content, asked), "as you ask")]
        if self.name in _ONE_STAGE:
            choices = list(one_line.side_choices(self.name, fitting.asked_for(self.overrides), data))
        else:
            choices = [stage_fitting.sides(self.content, side_px) for side_px in self._largest(data)]
        return [(values, f"images have {data.native_side_px} px") for values in choices or [{}]]

    def _largest(self, data: DataFacts) -> list[int]:
        """The largest sides that a recipe of stages may have; none where its own stays."""
        native_px = max(32, -(-data.native_side_px // 32) * 32)
        if self.family == "photos":
            return [side for side in one_line.SIDES_PX[device_kind()] if side <= native_px] or [native_px]
        return [native_px] if self.family == "imagenet" and native_px < _IMAGENET_PX else []

    def _asked(self, section: str) -> dict[str, Any]:
        """The user's keys of a section."""
        found: dict[str, Any] = fitting.asked_for(self.overrides).get(section, {})
        return found

    def _take(self, values: Mapping[KeyPath, Any], why: str) -> None:
        """Takes what the user has not given and the recipe does not say already."""
        new = {path: value for path, value in values.items() if path not in self.given}
        new = {path: value for path, value in new.items() if _at(self.content, path) != value}
        if new:
            self.values |= new
            self.changes.append(f"{_listed(self.content, new)}: {why}")

    def _written(self, values: Mapping[KeyPath, Any]) -> str:
        gone = fitting.left_out(self.name, self.overrides)
        return shipped.fitted(shipped.text(self.name), {**self.values, **gone, **values})


def _at(content: Any, path: KeyPath) -> Any:
    """The value of a key; None where there is none."""
    for part in path:
        if isinstance(content, list):
            content = content[int(part)]
        else:
            content = content.get(part) if isinstance(content, dict) else None
    return content


def _listed(content: Any, values: Mapping[KeyPath, Any]) -> str:
    """What keys become, such as `epochs of the stages 4, 4, 4 -> 13, 13, 14`."""
    stages = dict[str, None](dict.fromkeys(path[2] for path in values if path[0] == "stages"))
    texts = []
    for key in stages:
        before = [stage.get(key, "") for stage in content["stages"]]
        after = [values.get(("stages", str(place), key), old) for place, old in enumerate(before)]
        texts.append(f"{key} of the stages {_joined(before)} → {_joined(after)}")
    for path, value in values.items():
        if path[0] != "stages":
            old = _at(content, path)
            texts.append(f"{'.'.join(path)} {_changed(old, value)}")
    return ", ".join(texts)


def _changed(old: Any, new: Any) -> str:
    after = "left out" if new is None else shipped.toml(new)
    return after if old is None else f"{shipped.toml(old)} → {after}"


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
