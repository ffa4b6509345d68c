"""ResNet-18 for 32 px images (He et al. 2016, as papers on CIFAR train it): 11,173,962 parameters for ten classes.

A 3x3 first convolution, no max-pooling, and four stages of two basic blocks with 64, 128, 256 and 512 channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fewer.models.base import ModelParams, Width

if TYPE_CHECKING:
    from fewer.models.resnet_cifar import ResNetCifar


class Params(ModelParams):
    name: Literal["resnet18_cifar"] = "resnet18_cifar"
    width: Width = 1.0
    """Factor on the number of channels."""


def build(params: Params, classes: int, side_px: int) -> ResNetCifar:
    from fewer.models.resnet_cifar import ResNetCifar

    return ResNetCifar(classes, params.width)
