"""Models by name. Torch is imported by the model files only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Accepts:
    """The images that a model takes.

    Attributes:
        channels: Number of image channels.
        min_side_px: Smallest height and width.
        fixed_side_px: The only height and width, where a model has but one.
    """

    channels: int = 3
    min_side_px: int = 8
    fixed_side_px: bool = False


# How many training images a model that looks at data is shown before it is trained.
FIRST_IMAGES = 5000

ACCEPTS = {"lenet5": Accepts(min_side_px=16), "cnn": Accepts(min_side_px=16)}


def build(name: str, classes: int, side_px: int, **options: Any) -> nn.Module:
    """A model with fresh weights, drawn from torch's current stream.

    Args:
        name: A key of `ACCEPTS`.
        classes: Number of outputs.
        side_px: The largest side it will be trained at.
        options: The keys of `[model]` but the name.
    """
    if name == "lenet5":
        from fewer.models.lenet5 import LeNet5

        return LeNet5(classes, width=options["width"])
    if name == "cnn":
        from fewer.models.cnn import Cnn

        return Cnn(classes, **options)
    raise KeyError(f'no model "{name}"; there are {", ".join(ACCEPTS)}')
