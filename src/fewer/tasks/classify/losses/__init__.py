"""Losses of a classifier, one file each, found by name. Each gives one number a sample.

A loss's file has `KEYS`, its own keys of `[task]`, and `build(setting, **keys)`, which returns a function from logits
(B, C) and labels (B) to an `Outcome`. Whatever the loss, its score is the probability of the true class, and `right`
says whether the prediction is correct, both by the logits as they are evaluated: without margins, priors or weights.
`SMOOTHS` says whether label smoothing is defined for it. Files import torch inside functions only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewer.core.registry import files

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.types import Outcome

Loss = Callable[["Tensor", "Tensor"], "Outcome"]
_SHARED = frozenset({"shifted"})  # files in this folder that are not losses


@dataclass(frozen=True)
class Setting:
    """What a loss may know of its surroundings.

    Attributes:
        images_C: Training images of every class.
        label_smoothing: Share of the target spread over all classes.
        logit_scale: Factor between the cosines of a normalised head and its logits.
    """

    images_C: Sequence[int] = ()
    label_smoothing: float = 0.0
    logit_scale: float = 1.0


def names() -> tuple[str, ...]:
    """All losses' names."""
    return files(__name__, _SHARED)


def keys(name: str) -> tuple[str, ...]:
    """The keys of `[task]` that only this loss has."""
    found: tuple[str, ...] = _module(name).KEYS
    return found


def smooths(name: str) -> bool:
    """Whether label smoothing is defined for this loss."""
    return bool(_module(name).SMOOTHS)


def build(name: str, setting: Setting, options: Mapping[str, Any]) -> Loss:
    """A loss.

    Args:
        name: One of `names()`.
        setting: Its surroundings.
        options: Keys of `[task]`, of which it takes its own.
    """
    module = _module(name)
    loss: Loss = module.build(setting, **{key: options[key] for key in module.KEYS})
    return loss


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
