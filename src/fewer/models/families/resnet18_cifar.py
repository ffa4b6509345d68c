"""ResNet-18 for 32 px images (He et al. 2016, as papers on CIFAR train it): 11,173,962 parameters for ten classes.

A 3x3 first convolution, no max-pooling, and four stages of two basic blocks with 64, 128, 256 and 512 channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fewer.models.base import ModelParams

if TYPE_CHECKING:
    from fewer.models.nets.resnet_cifar import ResNetCifar


class Params(ModelParams):
    name: Literal["resnet18_cifar"] = "resnet18_cifar"
    # With fewer than eight channels a strided 1x1 convolution of oneDNN 3.12 (torch 2.14) writes beyond its memory
    # where the processor has AVX2 but not AVX-512, and images are laid out channels-last.
    width: Annotated[float, Field(ge=0.125, le=8, strict=True)] = 1.0
    """Factor on the number of channels, 64 in the first stage; eight are the least."""


def build(params: Params, classes: int, side_px: int) -> ResNetCifar:
    from fewer.machine.imports import import_torchvision

    import_torchvision()
    from fewer.models.nets.resnet_cifar import ResNetCifar

    return ResNetCifar(classes, params.width)
