"""Losses of a classifier, one file each: `task.loss` names one. Each gives one number a sample.

A file has `Params` and `build(params, setting)`, which returns a function from logits (B, C) and labels (B) to an
`Outcome`. Whatever the loss, its score is the probability of the true class, and `right` tells whether the prediction
is correct, both by the logits as they are evaluated: without margins, priors or weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewer.core.config import Section
from fewer.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.types import Outcome

Loss = Callable[["Tensor", "Tensor"], "Outcome"]
LOSSES = Registry("fewer.tasks.classify.losses", "loss", "fewer.losses", "loss")


class LossParams(Section):
    """Keys of a loss, and what it needs of others."""

    smooths: ClassVar[bool] = True
    """Whether label smoothing is defined for it."""
    needs_cosines: ClassVar[bool] = False
    """Whether it needs logits that are cosines: `model.head = "normalized"`."""


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
