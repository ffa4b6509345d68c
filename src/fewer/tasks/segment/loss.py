"""The registry of segmentation losses, their common keys and their surroundings: `task.loss` names one.

B: images of the batch. C: classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from fewer.core.config import Section
from fewer.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.tasks.segment.pixels import Pixels

LOSSES = Registry("fewer.tasks.segment.losses", "segmentation loss", "fewer.segmentation_losses", "loss")


class Sums(NamedTuple):
    """The losses of each image: their sum, with its graph, and how many they are."""

    sum_B: Tensor
    count_B: Tensor


Loss = Callable[["Pixels"], Sums]


class LossParams(Section):
    """Keys of a loss, and what it needs of others."""

    smooths: ClassVar[bool] = False
    """Whether label smoothing is defined for it."""
    weighs: ClassVar[bool] = True
    """Whether `class_weights` are defined for it."""


@dataclass(frozen=True)
class Setting:
    """What a loss may know of its surroundings.

    Attributes:
        weight_C: Factor on the loss of a pixel by its class; empty for none.
        label_smoothing: Share of the target spread over all classes.
    """

    weight_C: Sequence[float] = ()
    label_smoothing: float = 0.0

    def weighted(self, loss_BHW: Tensor, pixels: Pixels) -> Tensor:
        """A loss of each pixel times the weight of its class."""
        if not self.weight_C:
            return loss_BHW
        weight_C = loss_BHW.new_tensor(self.weight_C)
        return loss_BHW * weight_C[pixels.label_BHW]
