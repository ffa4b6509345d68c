"""Defaults of `[train]` that depend on what else a recipe says: fine-tuning is another task than training from scratch.

A recipe that gives no `train.lr`, or `auto`, gets the first set below whose condition holds; a key that is given stays
as it is. `fewer plan`, the log and `recipe.resolved.toml` say what was taken. Measured by `benchmarks/photos.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fewer.core.messages import written

# From weights that have learnt images already: small steps for them, larger ones for the new last layer. Others take
# what they take from scratch.
FINE_TUNING: dict[str, dict[str, Any]] = {
    "adamw": {"lr": 0.001, "warmup": "10%", "head_lr_scale": 10.0, "batch_size": 32},
    "sgd": {"lr": 0.01, "warmup": "10%", "head_lr_scale": 10.0, "batch_size": 32},
}
# From random weights; `sgd` has the keys' own defaults.
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "adamw": {"lr": 0.001, "warmup": "10%"},
    # What is not adapted would move by its whole gradient times a rate that is meant for shares of norms.
    "lars": {"lr": 3.0, "warmup": "10%", "bias_lr_scale": 0.02, "norm_lr_scale": 0.02},
    "lamb": {"lr": 0.003, "warmup": "10%", "weight_decay": 0.02},
    "muon": {"lr": 0.003, "warmup": "10%", "weight_decay": 0.05},
}

_FOUND = "auto"  # a rate that is to be found


def fill(content: dict[str, Any], fits: Callable[[dict[str, Any]], bool]) -> str:
    """Puts the defaults that suit a recipe into its content.

    Args:
        content: The recipe's content, which is changed; anything in it may be wrong.
        fits: Whether the optimizer and the schedule that a `[train]` section names have all of its keys.

    Returns:
        A note that says what was taken, and why; empty where nothing was.
    """
    train, model = content.get("train", {}), content.get("model")
    if not isinstance(train, dict) or not isinstance(model, Mapping) or train.get("lr", _FOUND) != _FOUND:
        return ""
    tunes = model.get("weights", "none") != "none"
    usual = "adamw" if tunes and fits({**train, "optimizer": "adamw"}) else "sgd"
    optimizer = train.get("optimizer", usual)
    usual_keys = {**FROM_SCRATCH, **FINE_TUNING} if tunes else FROM_SCRATCH
    defaults = {"optimizer": optimizer, **usual_keys.get(str(optimizer), {})}
    taken = {key: value for key, value in defaults.items() if key not in train}
    taken = {key: value for key, value in taken.items() if fits({**train, "optimizer": optimizer, key: value})}
    if not taken.keys() - {"optimizer"}:
        return ""
    content["train"] = {**train, **taken}
    listed = ", ".join(f"{key} = {written(value)}" for key, value in taken.items())
    missing = f'train.lr = "{_FOUND}"' if "lr" in train else "train.lr is left out"
    return f"{missing}, so {'fine-tuning takes' if tunes else 'training takes'} {listed}"
