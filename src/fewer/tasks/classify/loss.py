"""The registry of losses, their common keys and their surroundings: `task.loss` names one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fewer.core.config import Section
from fewer.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.observation import Outcome

Loss = Callable[["Tensor", "Tensor"], "Outcome"]
LOSSES = Registry("fewer.tasks.classify.losses", "loss", "fewer.losses", "loss")


class LossParams(Section):
    """Keys of a loss, and what it needs of others."""

    smooths: ClassVar[bool] = True
    """Whether label smoothing is defined for it."""
    mixes: ClassVar[bool] = False
    """Whether it takes mixed images: it is linear in the target, so that a soft one's loss is a mean of its labels'."""
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
