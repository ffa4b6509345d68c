"""The surroundings of an average of the weights, and the weights that it averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Setting:
    """What an average may know of the run that it belongs to.

    Attributes:
        epochs: All epochs of the run.
        images: Training images.
    """

    epochs: int
    images: int


def floats(model: nn.Module) -> dict[str, Tensor]:
    """A model's floating-point parameters and buffers by name."""
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
