"""Models that reference losses come from: one that is given, or two proxies that are trained for it; and their price.

A sample's reference loss is that of a model that has not seen it. Two proxies, each trained on a stratified half of the
training images, look at the other half, so that no images are spent on a reference (Mindermann et al., ICML 2022).
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel

from fewer import models, select, tasks
from fewer.core import rng
from fewer.core.clock import Duration
from fewer.core.errors import CheckpointError, DataError, FewerError, RecipeError
from fewer.data.images import Moments
from fewer.data.listing.strata import grouped
from fewer.machine.precision import weights_dtype
from fewer.models.hub import file_hash
from fewer.models.matching import load_matched, match
from fewer.models.pretrained import read_weights
from fewer.models.published import open_model
from fewer.models.weight_names import unwrapped
from fewer.plan.compile import compile_plan
from fewer.plan.facts import Facts, Preparation
from fewer.plan.flops import sample_flops
from fewer.plan.lr_finder import finds_lr
from fewer.plan.plan import Plan
from fewer.plan.stages import stages_of
from fewer.recipe.schema import Recipe, StageRecipe
from fewer.runs.published import MODEL_WEIGHTS, model_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.protocols import Task
    from fewer.data.listing.splits import Split

_PROXY_LENGTH = Duration(100, "%")  # where a method does not say
_CHEAPER = "give select.reference a finished run, which costs one forward of all images"
_TRAINED = ("samples_loaded", "samples_forwarded", "samples_backpropagated", "optimizer_steps", "flops")


@dataclass(frozen=True)
class Given:
    """A trained model that `select.reference` names.

    Attributes:
        model: With its weights, in evaluation mode.
        side_px: Side of the images that it is shown.
        moments: Mean and standard deviation of each channel that it was trained with; None: those of the run's data.
        sha256: Hash of the file of weights.
    """

    model: nn.Module
    side_px: int
    moments: Moments | None
    sha256: str

    def forward_flops(self, task: Task) -> int:
        """FLOPs of one image's forward."""
        return sample_flops(task, copy.deepcopy(self.model).to("meta").requires_grad_(True), self.side_px)[0]


def price(recipe: Recipe, facts: Facts) -> Preparation | None:
    """What reference losses will cost; None where the recipe's method needs none.

    Raises:
        RecipeError: `select.reference` names nothing that could be one.
        DataError, CheckpointError: What it names is damaged.
    """
    if facts.model.problems or not recipe.select.needs_reference:
        return None
    costs: Counter[str] = Counter()
    if reference_of(recipe):
        given = read_given(recipe, facts)
        images = facts.data.train_images
        plain_task = tasks.module(recipe.task.name).plain(facts.data.classes, facts.data.aspect or 1.0)
        costs.update(samples_loaded=images, samples_forwarded=images, flops=images * given.forward_flops(plain_task))
        return Preparation((given.side_px,), exact(costs), given.sha256)
    side_px = 0
    total = facts.data.train_images
    for nth, images in enumerate((-(-total // 2), total // 2)):
        plan = proxy_plan(recipe, facts, images, nth)
        others, side_px = total - images, plan.largest_side_px
        costs.update({key: round(plan.predicted[key][0]) for key in _TRAINED})
        forward = plan.sample_flops(plan.epochs - 1).forward
        costs.update(samples_loaded=others, samples_forwarded=others, flops=others * forward)
    return Preparation((side_px,), exact(costs), by="two proxies, each trained on half of the images", cheaper=_CHEAPER)


def exact(costs: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Costs that are known exactly, as lowest and highest."""
    return {key: (value, value) for key, value in costs.items()}


# --- Proxies ------------------------------------------------------------------------------------------------------


def halves(split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """Two random halves of some images, stratified by class; the first has one image more where N is odd."""
    grouped_M, _ = grouped(split.ids_M, split.label_N, seed, "reference")
    return grouped_M[::2].sort().values, grouped_M[1::2].sort().values


def proxy_plan(recipe: Recipe, facts: Facts, images: int, nth: int) -> Plan:
    """The plan of a proxy: the recipe's own model and training, on all of its half, at the largest side, but shorter.

    Args:
        recipe: The run's recipe.
        facts: The run's facts; FLOPs are counted for this model and side already.
        images: Images of the half.
        nth: Which of the two.
    """
    widest = max(stages_of(recipe, facts.data.native_side_px), key=lambda stage: stage.side_px)
    length = getattr(recipe.select, "proxy_epochs", _PROXY_LENGTH)
    epochs = max(1, length.whole_epochs(recipe.epochs))
    size = min(widest.batch_size, images)
    lr = 1.0 if finds_lr(recipe) else recipe.train.lr  # before it is found a proxy is priced only
    seed = rng.key(recipe.train.seed, "proxy", nth) >> 1
    own = {"epochs": epochs, "batch_size": size, "batch_ramp": "off", "lr": lr, "seed": seed}
    proxy = recipe.model_copy(
        update={
            "train": _relative(recipe.train, recipe.epochs).model_copy(update=own),
            "select": select.default(),
            "stages": (StageRecipe(epochs=epochs, side_px=widest.side_px, batch_size=size),),
        }
    )
    data = replace(facts.data, train_images=images, class_images=(), val_images=0, test_images=0, notes=())
    return compile_plan(proxy, Facts(data, replace(facts.model, notes=()), facts.machine))


def _relative(value: Any, epochs: int) -> Any:
    """A section with durations in epochs as shares of the run, so that a shorter one keeps the schedule's shape."""
    if isinstance(value, Duration) and value.unit == "ep":
        return Duration(100 * min(1.0, value.value / epochs), "%")
    if isinstance(value, tuple):
        return tuple(_relative(item, epochs) for item in value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _relative(item, epochs) for name, item in value})
    return value


# --- A model that is given ------------------------------------------------------------------------------------------


def reference_of(recipe: Recipe) -> str:
    """The path of the model that is given; empty where there is none."""
    return getattr(recipe.select, "reference", None) or ""


def read_given(recipe: Recipe, facts: Facts, precision: str = "") -> Given:
    """The model that `select.reference` names; errors as for `price`.

    Args:
        recipe: The run's recipe.
        facts: The run's facts.
        precision: What it is to compute in; left out: its own.
    """
    path = Path(reference_of(recipe))
    return _of_run(path, facts, precision) if path.is_dir() else _of_file(path, recipe, facts, precision)


def _of_run(path: Path, facts: Facts, precision: str) -> Given:
    try:
        folder = model_folder(path)
        model, about = open_model(folder, precision)
    except (RecipeError, CheckpointError) as error:
        raise type(error)(f"select.reference: {error}") from None
    if about.classes != facts.data.classes:
        theirs, ours = (f"{len(names)} ({', '.join(names[:3])}, ...)" for names in (about.classes, facts.data.classes))
        raise RecipeError(
            f'select.reference = "{path}": its classes, {theirs}, are not those of the data, {ours}; give a model that '
            "was trained on the same classes, or leave select.reference out"
        )
    return Given(model, about.side_px, (about.mean, about.std), file_hash(folder / MODEL_WEIGHTS))


def _of_file(path: Path, recipe: Recipe, facts: Facts, precision: str) -> Given:
    params, classes = recipe.model, len(facts.data.classes)
    try:
        weights = read_weights(params.model_copy(update={"weights": str(path)}))
    except FewerError as error:
        raise type(error)(str(error).replace("model.weights", "select.reference")) from None
    assert weights is not None
    side_px = max(stage.side_px for stage in stages_of(recipe, facts.data.native_side_px))
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn in vain, and must not move anybody's stream
        model = models.build(params.name, classes, side_px, **params.model_dump(exclude={"name"}))
    try:
        prefix, tensors = unwrapped(weights.tensors, model.state_dict())
        found = match(model, tensors, classes, prefix)
    except ValueError as error:
        raise DataError(f'select.reference = "{path}": {error}; take weights of a run that went well') from None
    if found.missing or found.reshaped or found.head:
        raise RecipeError(
            f'select.reference = "{path}": not the weights of a whole "{params.name}" with {classes} classes: '
            f"{found.describe()}; give a run folder, which says what model it holds, or leave select.reference out"
        )
    load_matched(model, found)
    asked = precision or recipe.train.precision
    dtype = torch.float32 if asked == "auto" else weights_dtype(asked)
    model.to(torch.device(facts.machine.device), dtype).to(memory_format=torch.channels_last)
    return Given(model.eval().requires_grad_(False), side_px, weights.moments, weights.sha256)
