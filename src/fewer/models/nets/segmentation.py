"""Networks that give a score for each class and place of an image: a backbone, a decoder and a head of 1x1 filters.

The backbones, decoders and their arithmetic are torchvision's; published weights fit by name, see `renamed`. Logits
are left at the resolution of the features, and whoever needs them larger interpolates, in the precision that this
takes. An auxiliary head, where there is one, runs in training only.

Letters: B images, C classes, H and W height and width of the image.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, final

from torch import nn
from torch.nn import functional as F
from torchvision import models as library
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.models.segmentation.lraspp import LRASPPHead

from fewer.models.nets.pooled_norm import take_single_values

if TYPE_CHECKING:
    from torch import Tensor

Design = Literal["fcn", "deeplabv3", "lraspp"]
_LOW_CHANNELS = {"mobilenet_v3_large": 40, "mobilenet_v2": 32}  # of the features of stride 8
_LRASPP_CHANNELS = 128  # Howard et al. 2019
# Of atrous convolutions. torchvision's are for a stride of 8; it has them for MobileNetV3's stride of 16, too.
_RATES, _RATES_OF_16 = (12, 24, 36), (6, 12, 18)
_OF_TORCHVISION = [
    (re.compile(r"^(aux_)?classifier\.4\."), r"\1head."),
    (re.compile(r"^classifier\.(low|high)_classifier\."), r"\1_head."),
    (re.compile(r"^(aux_)?classifier\."), r"\1decoder."),
]


@final
class SegmentationNet(nn.Module):
    """A fully convolutional network with one map of features (Long et al. 2015; Chen et al. 2017).

    Args:
        backbone: Gives a dict of features: `out`, and `aux` where there is an auxiliary head.
        decoder: From features to those of the head.
        aux_decoder: Likewise of the auxiliary head; None: there is none.

    Both decoders are torchvision's, whose last layer becomes the head.
    """

    def __init__(self, backbone: nn.Module, decoder: nn.Sequential, aux_decoder: nn.Sequential | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.aux_decoder: nn.Module | None = None
        self.aux_head: nn.Module | None = None
        if aux_decoder is not None:
            self.aux_decoder, self.aux_head = _parts(aux_decoder)
        # Heads come last and are called so: by that the head of a net is known.
        self.decoder, self.head = _parts(decoder)
        take_single_values(self.decoder)

    def forward(self, image_BCHW: Tensor) -> Any:
        """Logits (B, C, h, w); in training a tuple of these and the auxiliary head's, where there is one."""
        features = self.backbone(image_BCHW)
        logits = self.head(self.decoder(features["out"]))
        if not self.training or self.aux_decoder is None or self.aux_head is None:
            return logits
        return logits, self.aux_head(self.aux_decoder(features["aux"]))


@final
class LrasppNet(nn.Module):
    """Lite reduced atrous spatial pyramid pooling (Howard et al. 2019, arXiv 1905.02244, section 6.3).

    Features of stride 16 are weighted by a gate that sees wide means of them, and meet those of stride 8 as logits.

    Args:
        backbone: Gives a dict of features, `low` of stride 8 and `high` of stride 16.
        channels: Of either.
        classes: C.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, int], classes: int) -> None:
        super().__init__()
        theirs = LRASPPHead(*channels, classes, _LRASPP_CHANNELS)
        self.backbone = backbone
        self.decoder = nn.ModuleDict({"cbr": theirs.cbr, "scale": theirs.scale})
        self.low_head, self.high_head = theirs.low_classifier, theirs.high_classifier
        take_single_values(self.decoder)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits (B, C, h, w), h and w being those of the features of stride 8."""
        features = self.backbone(image_BCHW)
        low, high = features["low"], features["high"]
        gated = self.decoder["cbr"](high) * self.decoder["scale"](high)
        gated = F.interpolate(gated, size=low.shape[-2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.low_head(low) + self.high_head(gated)
        return logits


def build(design: Design, backbone: str, classes: int, aux_head: bool) -> nn.Module:
    """A network with fresh weights.

    Args:
        design: What is put upon the backbone.
        backbone: A network of torchvision: `resnet50`, `resnet101`, `mobilenet_v3_large` or `mobilenet_v2`.
        classes: C.
        aux_head: Whether there is an auxiliary head.
    """
    layers, stage, channels, aux_channels = _trunk(backbone)
    if design == "lraspp":
        low, low_channels = stage[0], _LOW_CHANNELS[backbone]
        trunk = IntermediateLayerGetter(layers, {low: "low", stage[2]: "high"})
        return LrasppNet(trunk, (low_channels, channels), classes)
    wanted = {stage[2]: "out", **({stage[1]: "aux"} if aux_head else {})}
    rates = _RATES_OF_16 if backbone == "mobilenet_v2" else _RATES
    decoder = FCNHead(channels, classes) if design == "fcn" else DeepLabHead(channels, classes, rates)
    aux_decoder = FCNHead(aux_channels, classes) if aux_head else None
    return SegmentationNet(IntermediateLayerGetter(layers, wanted), decoder, aux_decoder)


def renamed(name: str) -> str:
    """The name here of a weight that torchvision's own network of the same design calls `name`."""
    for pattern, ours in _OF_TORCHVISION:
        name, count = pattern.subn(ours, name)
        if count:
            break
    return name


def _parts(decoder: nn.Sequential) -> tuple[nn.Sequential, nn.Module]:
    *layers, head = decoder
    return nn.Sequential(*layers), head


def _trunk(backbone: str) -> tuple[nn.Module, tuple[str, str, str], int, int]:
    """Layers of a backbone without its last strides, which are dilated instead.

    Returns:
        The layers; the names of those that give features of stride 8, for an auxiliary head, and the last; the
        channels of the last, and those for the auxiliary head.
    """
    if backbone.startswith("resnet"):
        resnet = library.get_model(backbone, weights=None, replace_stride_with_dilation=[False, True, True])
        return resnet, ("layer2", "layer3", "layer4"), 2048, 1024
    if backbone == "mobilenet_v3_large":
        features = library.mobilenet_v3_large(weights=None, dilated=True).features
        return features, ("4", "4", "16"), 960, 40
    return _mobilenet_v2(), ("6", "13", "17"), 320, 96


def _mobilenet_v2() -> nn.Module:
    """MobileNetV2 without its last 1x1 filters, of stride 16 (Sandler et al. 2018, section 6.3).

    The block that would halve its input does not, and those behind it are dilated, so that every filter sees the
    places that it was trained to see.
    """
    features: nn.Sequential = library.mobilenet_v2(weights=None).features[:18]
    for index in range(14, 18):
        depthwise: Any = next(layer for layer in features[index].modules() if getattr(layer, "groups", 1) > 1)
        depthwise.stride = (1, 1)
        if index > 14:
            depthwise.dilation = depthwise.padding = (2, 2)
    return features
