"""Random valid recipes, small enough to be trained in a blink."""

from __future__ import annotations

import random
from typing import Any

_SELECTORS: list[dict[str, Any]] = [
    {"method": "everything"},
    {"method": "random", "share": 0.6},
    {"method": "random", "share": 0.35, "revision": "1ep"},
    {"method": "dbpd", "score": "stale", "threshold": 0.11, "revision": "1ep"},
    {"method": "dbpd", "score": "stale", "threshold": 0.11, "refresh_every": 2, "batches": "shrink"},
    {"method": "dbpd", "score": "fresh", "threshold": 0.11, "revision": "1ep"},
    {"method": "dbpd", "score": "fresh", "threshold": 0.11, "batches": "shrink", "scoring": "train"},
    {"method": "dbpd", "score": "fresh", "cost": 0.8, "scorer_side_px": 16},
    {"method": "infobatch", "revision": "1ep"},
    {"method": "selective_backprop", "score": "fresh", "beta": 0.5, "weights": "inclusion", "history": 50},
    {"method": "kakurenbo", "hidden": 0.6, "confidence": 0.1},
    {"method": "stratified", "cost": 0.7, "take": "random", "weights": "inclusion"},
    {"method": "ucb", "share": 0.5, "every": 1},
    {"method": "smrd", "threshold": 0.11, "published": True},
    {"method": "alternate", "threshold": 0.11},
    {"method": "rho", "share": 0.5, "proxy_epochs": "1ep"},
]
_MODELS: list[dict[str, Any]] = [
    {"name": "lenet5", "width": 0.1},
    {"name": "cnn", "width": 0.1},
    {"name": "cnn", "width": 0.1, "whiten": True, "whiten_bias_epochs": 1},
]
_VIEWS: list[dict[str, Any]] = [
    {},
    {"rotation_deg": 20.0, "translate": 0.1, "scale": [0.8, 1.2], "shear_deg": 10.0},
    {"perspective": 0.4, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1},
    {"trivial_augment": True},
    {"trivial_augment": True, "rotation_deg": 10.0, "brightness": 0.2},
]
_OPTIMIZERS: list[dict[str, Any]] = [
    {"lr": 0.05},
    {"lr": 0.05, "momentum": 0.0, "nesterov": False},
    {"lr": 0.003, "optimizer": "adamw", "weight_decay": 0.05},
]
_SCHEDULES: list[dict[str, Any]] = [
    {},
    {"schedule": "cosine", "final": 0.05},
    {"schedule": "step", "step_at": ["1ep", "80%"], "step_gamma": 0.3},
    {"schedule": "one_cycle", "cycle_peak": "40%"},
    {"schedule": "one_cycle", "cycle_momentum": "off"},
]
_STAGES: list[list[dict[str, Any]]] = [
    [],
    [{"epochs": 1, "side_px": 16, "batch_size": 24}, {"epochs": 2, "side_px": 24}],
    [{"epochs": 2, "side_px": 24, "batch_size": 32}, {"epochs": 1, "side_px": 16, "batch_size": 40}],
]


def draw_recipe(seed: int, **fixed: Any) -> dict[str, Any]:
    """A recipe on 120 digits: selector x stages x optimizer x schedule x precision x accumulation x averages x views.

    Args:
        seed: Which recipe.
        fixed: Sections to take as given, such as `model={...}`; keys are merged into the drawn ones.

    Returns:
        Content for `parse_recipe`.
    """
    chance = random.Random(seed)
    content: dict[str, Any] = {
        "data": {"source": "digits", "test": "93%", "val": "none"},
        "augment": {
            "crop_padding_px": chance.choice([0, 3]),
            "padding": chance.choice(["zero", "reflect", "mean"]),
            "flip": chance.choice(["no", "random", "alternating"]),
            "cutout_px": chance.choice([0, 6]),
            **chance.choice(_VIEWS),
        },
        "model": chance.choice(_MODELS),
        "train": {
            "batch_size": chance.choice([24, 32]),
            "accumulate": chance.choice([1, 2, 3]),
            "label_smoothing": chance.choice([0.0, 0.1]),
            "clip_norm": chance.choice([0.0, 1.0]),
            "ema": chance.choice(["off", "0.5ep"]),
            "precision": chance.choice(["fp32", "fp32", "bf16", "fp16", "fp64"]),
            "channels_last": chance.choice(["yes", "no"]),
            "seed": seed,
        },
        "select": _SELECTORS[seed % len(_SELECTORS)],
    }
    content["train"] |= chance.choice(_OPTIMIZERS) | chance.choice(_SCHEDULES)
    if content["train"].get("schedule") == "one_cycle" and content["train"].get("cycle_momentum") != "off":
        for key in ("momentum", "nesterov"):  # the cycle takes its place
            content["train"].pop(key, None)
    if chance.random() < 0.3:
        content["train"]["lookahead"] = {"every_steps": 2, "start": "1ep"}
    content["stages"] = chance.choice(_STAGES)
    if not content["stages"]:
        content["stages"] = [{"epochs": 3, "side_px": chance.choice([16, 20])}]
    if chance.random() < 0.3:
        content["data"] |= {"in_memory": "no", "processes": chance.choice([0, 1])}
    for section, values in fixed.items():
        content[section] = {**content[section], **values} if isinstance(values, dict) else values
    return content
