"""The network of airbench94 (Keller Jordan, "94% on CIFAR-10 in 3.29 seconds", arXiv 2404.00498).

A 2x2 whitening convolution, three blocks of two 3x3 convolutions, a global max-pooling and a linear layer. Convolutions
start as the identity (Dirac) on their first channels; BatchNorm has a bias but no weight. The published network pools
the last 3x3 map of 32 px images; pooling globally is the same there and admits any side of 16 px or more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["gelu", "silu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}


@final
class Cnn(nn.Module):
    """Maps (B, 3, S, S) to (B, C) logits, S >= 16.

    Args:
        classes: Number of classes, C.
        width: Factor on the numbers of channels (64, 256, 256).
        whiten: Fix the first layer's weights to whitening filters, to be set by `whiten()`.
        whiten_bias_epochs: Epochs during which the whitening layer's bias is trained.
        batchnorm_momentum: Weight of the newest batch in the running statistics.
        logit_scale: Factor on the logits.
        activation: Behind the convolutions of the blocks; behind the first layer it is always GELU.
    """

    def __init__(
        self,
        classes: int,
        width: float = 1.0,
        whiten: bool = False,
        whiten_bias_epochs: int = 3,
        batchnorm_momentum: float = 0.1,
        logit_scale: float = 1.0,
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        narrow, wide = max(1, round(64 * width)), max(1, round(256 * width))
        self.whitens, self.whiten_bias_epochs, self.logit_scale = whiten, whiten_bias_epochs, logit_scale
        self.stem = nn.Conv2d(3, 24, 2, bias=True)
        nn.init.zeros_(self.stem.bias)  # type: ignore[arg-type]
        self.stem.weight.requires_grad = not whiten
        self.block1 = _Block(24, narrow, batchnorm_momentum, activation)
        self.block2 = _Block(narrow, wide, batchnorm_momentum, activation)
        self.block3 = _Block(wide, wide, batchnorm_momentum, activation)
        self.head = nn.Linear(wide, classes, bias=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x = F.gelu(self.stem(image_BCHW))
        x = self.block3(self.block2(self.block1(x)))
        logits_BC: Tensor = self.head(x.amax((2, 3))) * self.logit_scale
        return logits_BC

    def frozen_in(self, epoch: int) -> list[str]:
        """The whitening layer's bias, once its epochs are over."""
        return ["stem.bias"] if self.whitens and epoch >= self.whiten_bias_epochs else []

    @property
    def changes_at(self) -> list[int]:
        """Epochs at which the set of trained parameters changes."""
        return [self.whiten_bias_epochs] if self.whitens else []

    @torch.no_grad()
    def whiten(self, image_BCHW: Tensor, eps: float = 5e-4) -> None:
        """Sets the first layer to the eigenvectors of the images' 2x2 patches, scaled to unit variance, and negated.

        Args:
            image_BCHW: Normalised training images.
            eps: Added to the eigenvalues, in normalised units.
        """
        patches = image_BCHW.double().unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        # An eigenvector's sign is arbitrary: fix it, so that every machine starts with the same filters.
        vectors = vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)))
        filters = (vectors / torch.sqrt(values.clamp(min=0) + eps)).flip(1).T.reshape(12, 3, 2, 2)
        self.stem.weight.copy_(torch.cat([filters, -filters]))


class _Block(nn.Module):
    """Convolution, pooling, norm, activation, convolution, norm, activation."""

    def __init__(self, channels_in: int, channels_out: int, momentum: float, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.conv1, self.norm1 = _conv(channels_in, channels_out), _norm(channels_out, momentum)
        self.conv2, self.norm2 = _conv(channels_out, channels_out), _norm(channels_out, momentum)

    def forward(self, x: Tensor) -> Tensor:
        activated = _ACTIVATIONS[self.activation]
        x = activated(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return activated(self.norm2(self.conv2(x)))


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:channels_in])
    return conv


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, momentum=momentum)
    norm.weight.requires_grad = False
    return norm
