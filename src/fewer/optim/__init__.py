"""Optimizers, one file each, found by name; and what works beside them: schedules, groups, averages of the weights.

An optimizer's file has `KEYS`, its own keys of `[train]`, and `build(groups, lr, **keys)`. It imports torch inside
functions only, so that names and keys need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fewer.core.registry import files

if TYPE_CHECKING:
    import torch


def names() -> tuple[str, ...]:
    """All optimizers' names."""
    return files(f"{__name__}.methods")


def keys(name: str) -> tuple[str, ...]:
    """The keys of `[train]` that only this optimizer (and others that list them) has."""
    found: tuple[str, ...] = _module(name).KEYS
    return found


def build(name: str, groups: list[dict[str, Any]], lr: float, options: dict[str, Any]) -> torch.optim.Optimizer:
    """An optimizer over groups of parameters.

    Args:
        name: One of `names()`.
        groups: As `groups.parameter_groups` gives them.
        lr: Peak learning rate of the weights.
        options: Keys of `[train]`, of which it takes its own.
    """
    module = _module(name)
    optimizer: torch.optim.Optimizer = module.build(groups, lr, **{key: options[key] for key in module.KEYS})
    return optimizer


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.methods.{name}")
