"""BatchNorm for pooled features: a batch of one image, pooled to one pixel, has no variance to normalise by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional as F

from fewer.sync.batchnorm import are_shared

if TYPE_CHECKING:
    from torch import Tensor


class PooledNorm(nn.BatchNorm2d):
    """BatchNorm that takes a batch with a single value a channel, on which torch's own raises an error in training.

    Such a batch is normalised by the running statistics, which it leaves as they are. Every other batch is treated as
    by `nn.BatchNorm2d`, whose names in a state dict these are. Where processes share their statistics, a layer never
    decides alone: one image in all of them together remains an error of arithmetic.
    """

    def forward(self, input: Tensor) -> Tensor:
        is_single = input.numel() == input.shape[1]
        if not (self.training and is_single) or are_shared(self):
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def take_single_values(module: nn.Module) -> None:
    """Makes `PooledNorm` of every plain BatchNorm layer of a module; its weights and their names stay."""
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d and layer.track_running_stats:
            layer.__class__ = PooledNorm
