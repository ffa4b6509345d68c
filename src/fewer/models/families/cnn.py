"""The network of airbench94 (Keller Jordan, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498).

A whitening layer and three blocks of two 3x3 convolutions: 94 % on CIFAR-10 within ten epochs, for images of about
32 px.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fewer.core.config import Count, Flag, Index, Positive
from fewer.models.base import ModelParams, Width

if TYPE_CHECKING:
    from fewer.models.nets.cnn import Cnn

EXAMPLES = [
    {"width": 0.1},
    {"width": 0.1, "whiten": True, "whiten_bias_epochs": 1},
    {"width": 0.1, "whiten": True, "whiten_images": 20, "whiten_bias_epochs": 0, "activation": "silu"},
]


class Params(ModelParams):
    name: Literal["cnn"] = "cnn"
    width: Width = 1.0
    """Factor on the number of channels."""
    whiten: Flag = False
    """First layer fixed to whitening filters of the training images' 2x2 patches."""
    whiten_images: Count = 5000
    """`whiten`: training images that the filters are made from."""
    whiten_bias_epochs: Index = 3
    """`whiten`: epochs during which the first layer's bias is trained; 0: it stays zero."""
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.4
    """Weight of the newest batch in BatchNorm's running statistics (torch's convention)."""
    logit_scale: Positive = 0.111
    """Factor on the logits; a normalised head has `head_scale` instead."""
    activation: Literal["gelu", "silu"] = "gelu"
    """Behind the convolutions of the blocks. The first layer keeps GELU."""

    @property
    def first_images(self) -> int:
        return self.whiten_images if self.whiten and self.weights == "none" else 0


def build(params: Params, classes: int, side_px: int) -> Cnn:
    from fewer.models.nets.cnn import Cnn

    asked = params.model_dump(exclude={*ModelParams.model_fields, "whiten_images"})
    return Cnn(classes, **asked | ({} if params.head == "linear" else {"logit_scale": 1.0}))
