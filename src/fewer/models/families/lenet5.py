"""LeNet-5 as federated learning papers use it (Hsu, Qi, Brown 2019, arXiv 1909.06335): 815,332 parameters.

Two 5x5 convolutions and two hidden layers; the quickest model here, for small images and for trying things out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fewer.models.base import ModelParams, Rate, Width

if TYPE_CHECKING:
    from fewer.models.nets.lenet5 import LeNet5

EXAMPLES = [{"width": 0.1}]


class Params(ModelParams):
    name: Literal["lenet5"] = "lenet5"
    width: Width = 1.0
    """Factor on the number of channels and hidden units."""
    dropout: Rate = 0.0
    """Share of the hidden units that is dropped in training."""


def build(params: Params, classes: int, side_px: int) -> LeNet5:
    from fewer.models.nets.lenet5 import LeNet5

    return LeNet5(classes, params.width, params.dropout)
