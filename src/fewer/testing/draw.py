"""Random valid recipes, small enough to be trained in a blink."""

from __future__ import annotations

import contextlib
import random
from typing import Any

from fewer import models
from fewer.core.errors import RecipeError
from fewer.models.registry import FAMILIES
from fewer.optim.averaging import AVERAGES
from fewer.optim.methods import OPTIMIZERS
from fewer.optim.schedules import SCHEDULES
from fewer.recipe.parse import parse_recipe
from fewer.select.registry import METHODS
from fewer.sync.methods import SYNC_METHODS
from fewer.tasks.classify.loss import LOSSES

_TRIES = 1000
_SYNCS = 0.6  # of the recipes name a sync method
_OSCILLATES = 0.5  # of the recipes that state a cost
_FINDS_LR = 0.03  # of the recipes; a finder costs more than such a run
_RAMPS, _RAMP = 0.1, {"ramp": "timm", "ramp_px": [16, 20, 24], "ramp_spread": 1.0}  # of the recipes
_BATCHES_GROW = 0.15  # of the recipes whose epochs show all images
_AVERAGES_TAIL = 0.25  # of the recipes, in place of another average that is evaluated
_VIEWS: list[dict[str, Any]] = [
    {},
    {"rotation_deg": 20.0, "translate": 0.1, "scale": [0.8, 1.2], "shear_deg": 10.0},
    {"perspective": 0.4, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1},
    {"trivial_augment": True},
    {"trivial_augment": True, "rotation_deg": 10.0, "brightness": 0.2},
    {"rand_augment": 2, "rand_augment_magnitude": 12},
    {"erasing_share": 0.5},
    {"rand_augment": 1, "erasing_share": 0.25, "erasing_scale": [0.1, 0.4], "cutout_px": 4},
]
_MIXES: list[dict[str, Any]] = [
    {},
    {},
    {"mixup_alpha": 0.4},
    {"cutmix_alpha": 1.0, "mix_share": 0.7},
    {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "mix_until": "60%"},
]
_STAGES: list[list[dict[str, Any]]] = [
    [],
    [{"epochs": 1, "side_px": 16, "batch_size": 24}, {"epochs": 2, "side_px": 24}],
    [
        {"epochs": 2, "side_px": 24, "batch_size": 32},
        {"epochs": 1, "side_px": 16, "batch_size": 40, "lr_ramp": "3step"},
    ],
    [{"epochs": 3, "side_px": 16, "strength": [0.2, 1.0]}],
    [{"epochs": 2, "side_px": 16, "strength": 0.5}, {"epochs": 1, "side_px": 20, "strength": 0.0, "mix": 1.0}],
    [{"epochs": 2, "side_px": 16, "data_share": 0.4}, {"epochs": 1, "side_px": 20, "data_share": 0.7}],
    [
        {"epochs": 1, "side_px": 16},
        {"epochs": 1, "side_px": 20, "frozen": "all but the head"},
        {"epochs": 1, "side_px": 20, "frozen": "40%", "frozen_anyway": True},
    ],
    [{"epochs": 1, "side_px": 16}, {"epochs": 2, "side_px": 20, "frozen": "all but the head", "strength": 0.0}],
]


def draw_recipe(seed: int, **fixed: Any) -> dict[str, Any]:
    """A recipe on 120 digits: selector x stages x optimizer x schedule x loss x precision x averages x views and more.

    Plug-ins bring their own examples. What does not go together is drawn again.

    Args:
        seed: Which recipe.
        fixed: Sections to take as given, such as `model={...}`; keys are merged into the drawn ones.

    Returns:
        Content for `parse_recipe`.

    Raises:
        ValueError: Nothing goes together with the fixed sections.
    """
    chance = random.Random(seed)
    for _ in range(_TRIES):
        content = _drawn(chance, seed)
        for section, values in fixed.items():
            content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
        if not {"train", "stages"} & set(fixed):
            content["train"] |= _growth(content, seed)
        with contextlib.suppress(RecipeError):
            parse_recipe(content)
            return content if "sync" in fixed else _synced(content, seed)
    raise ValueError(f"no recipe was valid with {fixed}; look at these sections")


def _stages(chance: random.Random, seed: int, select: dict[str, Any]) -> list[dict[str, Any]]:
    """Stages, or one, whose batches may draw their sides unless samples are chosen in the batch."""
    in_batch = "fresh" in select.values()
    # Where little is trained, looking at everything costs more than a stated cost may be.
    fit = [each for each in _STAGES if not (in_batch and "cost" in select and any("frozen" in it for it in each or ()))]
    found = chance.choice(fit) or [{"epochs": 3, "side_px": chance.choice([16, 20])}]
    if in_batch or random.Random(f"{seed} draws its sides").random() >= _RAMPS:  # drawn apart, as `lr = "auto"` below
        return found
    return [{"epochs": 1, "side_px": 16, "batch_size": 40}, {"epochs": 2, **_RAMP}]


def _synced(content: dict[str, Any], seed: int) -> dict[str, Any]:
    """A recipe whose workers may be two, and agree by some method; drawn apart, so that all else stays."""
    chance = random.Random(f"{seed} syncs")
    if chance.random() >= _SYNCS:
        return content
    synced = {**content, "sync": {"workers": 2, **chance.choice(SYNC_METHODS.examples())}}
    with contextlib.suppress(RecipeError):
        parse_recipe(synced)
        return synced
    return content


def _growth(content: dict[str, Any], seed: int) -> dict[str, Any]:
    """A largest batch that those of 24 or 32 images grow to, where all images are shown and no momentum moves."""
    moves_momentum = content["train"].get("schedule") == "one_cycle" and "cycle_momentum" not in content["train"]
    if moves_momentum or any("data_share" in stage for stage in content["stages"]):
        return {}
    return {"batch_ramp": 64} if random.Random(f"{seed} grows its batches").random() < _BATCHES_GROW else {}


def _oscillating(select: dict[str, Any], seed: int) -> dict[str, Any]:
    """A selector whose share may go down and up, where a cost decides it; drawn apart, as `lr = "auto"` below."""
    if "cost" not in select or random.Random(f"{seed} oscillates").random() >= _OSCILLATES:
        return select
    return {**select, "oscillation": 0.4}


def _averages(chance: random.Random, seed: int) -> list[dict[str, Any]]:
    """Any number of averages, of which one is evaluated at most."""
    tail = AVERAGES.module("swa").EXAMPLES
    found = [average for average in AVERAGES.examples() if average not in tail and chance.random() < 0.4]
    if random.Random(f"{seed} averages its tail").random() < _AVERAGES_TAIL:  # drawn apart, as `lr = "auto"` below
        return [*(average for average in found if "ema" not in average), *tail]
    return found


def _drawn(chance: random.Random, seed: int) -> dict[str, Any]:
    """A recipe in which every key is right by itself."""
    selectors = METHODS.examples()
    averages = _averages(chance, seed)
    train = {
        "batch_size": chance.choice([24, 32]),
        "accumulate": chance.choice([1, 2, 3]),
        "label_smoothing": chance.choice([0.0, 0.1]),
        "lr_scaling": chance.choice(["none", "none", "linear", "sqrt"]),
        "layer_lr_decay": chance.choice([1.0, 1.0, 0.7]),
        "schedule_over": chance.choice(["run", "run", "stage"]),
        "clip_norm": chance.choice([0.0, 1.0]),
        "precision": chance.choice(["fp32", "fp32", "bf16", "fp16", "fp64"]),
        "channels_last": chance.choice(["yes", "no"]),
        "seed": seed,
    }
    for part in (chance.choice(OPTIMIZERS.examples()), chance.choice(SCHEDULES.examples()), *averages):
        train |= part
    select = _oscillating(selectors[seed % len(selectors)], seed)
    if "cost" not in select and random.Random(f"{seed} finds its rate").random() < _FINDS_LR:
        train["lr"] = "auto"  # drawn apart, so that other draws stay what they are
    return {
        "data": {
            "source": "digits",
            "test": "93%",
            "val": "none",
            **chance.choice([{}, {}, {"in_memory": "no", "processes": chance.choice([0, 1])}]),
        },
        "augment": {
            "crop_padding_px": chance.choice([0, 3]),
            "padding": chance.choice(["zero", "reflect", "mean"]),
            "flip": chance.choice(["no", "random", "alternating"]),
            "cutout_px": chance.choice([0, 6]),
            **chance.choice(_VIEWS),
            **chance.choice(_MIXES),
        },
        "model": {**chance.choice(_classifiers()), "head": chance.choice(["linear", "linear", "normalized"])},
        "task": chance.choice(LOSSES.examples()),
        "train": train,
        "select": select,
        "stages": _stages(chance, seed, select),
    }


def _classifiers() -> list[dict[str, Any]]:
    """The keys of models that learn what digits show."""
    return [
        each for each in FAMILIES.examples() if getattr(models.family(each["name"]), "TASK", "classify") == "classify"
    ]
