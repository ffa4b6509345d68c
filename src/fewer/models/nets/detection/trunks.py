"""Trunks of small detectors: classifiers of torchvision without their heads, with a feature pyramid or SSD's layers."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, final

from torch import nn
from torchvision.models import get_model
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.ssdlite import _extra_block, _normal_init
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.ops.feature_pyramid_network import ExtraFPNBlock


class _Layers(NamedTuple):
    """The layers that give features.

    Attributes:
        names: Those of strides 8, 16 and 32.
        channels: Of each.
    """

    names: tuple[str, str, str]
    channels: tuple[int, int, int]


TRUNKS = {
    "mobilenet_v2": _Layers(("6", "13", "17"), (32, 96, 320)),
    "mobilenet_v3_small": _Layers(("3", "8", "11"), (24, 48, 96)),
    "mobilenet_v3_large": _Layers(("6", "12", "15"), (40, 112, 160)),
    "resnet18": _Layers(("layer2", "layer3", "layer4"), (128, 256, 512)),
    "resnet34": _Layers(("layer2", "layer3", "layer4"), (128, 256, 512)),
    "resnet50": _Layers(("layer2", "layer3", "layer4"), (512, 1024, 2048)),
}
_EXTRA = (256, 128)  # channels of SSDlite's layers of strides 64 and 128
SSD_STRIDES = 5  # levels of `ssd_trunk`


def pyramid(name: str, channels: int, strides: int) -> BackboneWithFPN:
    """A trunk with a feature pyramid (Lin et al. 2017, arXiv 1612.03144) of strides 8, 16, 32, 64 and perhaps 128.

    Args:
        name: One of `TRUNKS`.
        channels: Of every level.
        strides: Number of levels: 4, of which the last is taken from the third by pooling, or 5, by convolutions.
    """
    layers = TRUNKS[name]
    extra: ExtraFPNBlock = LastLevelP6P7(channels, channels) if strides == 5 else LastLevelMaxPool()
    taken = {layer: str(level) for level, layer in enumerate(layers.names)}
    return BackboneWithFPN(_plain(name), taken, list(layers.channels), channels, extra)


def _plain(name: str) -> nn.Module:
    net: Any = get_model(name, weights=None)
    trunk: nn.Module = net if name.startswith("resnet") else net.features
    return trunk


@final
class SsdTrunk(nn.Module):
    """A trunk's features of strides 8, 16 and 32, then SSDlite's layers of strides 64 and 128.

    Args:
        name: One of `TRUNKS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        layers = TRUNKS[name]
        self.body = IntermediateLayerGetter(_plain(name), {layer: str(i) for i, layer in enumerate(layers.names)})
        widths = (layers.channels[-1], *_EXTRA)
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
        self.extra = nn.ModuleList(_extra_block(before, after, norm) for before, after in pairwise(widths))
        _normal_init(self.extra)
        self.out_channels = [*layers.channels, *_EXTRA]

    def forward(self, image_BCHW: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.body(image_BCHW)
        features = list(found.values())
        for layer in self.extra:
            features.append(layer(features[-1]))
        return OrderedDict((str(level), each) for level, each in enumerate(features))


def with_frozen_norms(module: nn.Module) -> nn.Module:
    """Puts a layer of fixed statistics and factors in the place of each BatchNorm; returns the module."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, child.eps))
        else:
            with_frozen_norms(child)
    return module
