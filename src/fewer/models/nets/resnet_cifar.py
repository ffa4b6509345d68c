"""ResNet-18 for 32 px images: torchvision's basic blocks behind a 3x3 stem without pooling.

He et al. (2016, arXiv 1512.03385) trained thinner nets on CIFAR-10; the wide one with channels 64 to 512 is what
later papers mean by ResNet-18 there. Names of weights are torchvision's, so that the files of either fit the other
but for the stem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

if TYPE_CHECKING:
    from torch import Tensor

_CHANNELS = (64, 128, 256, 512)


@final
class ResNetCifar(nn.Module):
    """Maps (B, 3, S, S) to (B, C) logits.

    Args:
        classes: Number of classes, C.
        width: Factor on the numbers of channels.
    """

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__()
        channels = [max(1, round(width * each)) for each in _CHANNELS]
        self.conv1 = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.layer1 = _stage(channels[0], channels[0], stride=1)
        self.layer2 = _stage(channels[0], channels[1], stride=2)
        self.layer3 = _stage(channels[1], channels[2], stride=2)
        self.layer4 = _stage(channels[2], channels[3], stride=2)
        self.fc = nn.Linear(channels[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(image_BCHW)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits_BC: Tensor = self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits_BC


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Two basic blocks; the first halves the side and passes its input on through a 1x1 convolution."""
    shortcut = None
    if stride != 1 or channels_in != channels_out:
        conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
        shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels_out))
    return nn.Sequential(
        BasicBlock(channels_in, channels_out, stride, shortcut), BasicBlock(channels_out, channels_out)
    )
