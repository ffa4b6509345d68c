"""The surroundings of an average of the weights, and the weights that it averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewer.optim.shapes import Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Setting:
    """What an average may know of the run that it belongs to.

    Attributes:
        epochs: All epochs of the run.
        images: Training images.
        lr_share: The learning rate as a share of `train.lr`, by progress.
    """

    epochs: int
    images: int
    lr_share: Shape = lambda progress: 1.0


def floats(model: nn.Module) -> dict[str, Tensor]:
    """A model's floating-point parameters and buffers by name."""
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
