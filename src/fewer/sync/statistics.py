"""Running statistics of several workers, pooled as if one had seen all of their samples.

A BatchNorm layer's mean is the mean of the workers' means, and its variance that of all samples: the mean of
`var + mean^2` less the square of the pooled mean. Other floating-point buffers are averaged, and whole numbers, such as
counts of batches, take the largest. Layers in eval mode have not moved, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _NormBase

if TYPE_CHECKING:
    from torch import Tensor, nn


def moments(model: nn.Module) -> Tensor:
    """What is averaged over workers, one vector in float64: means, second moments, and other numbers."""
    parts = [torch.zeros(0, dtype=torch.float64)]
    for layer in _moving(model):
        for name, buffer in _floats(layer):
            value = buffer.detach().double()
            if _is_variance(layer, name):
                value = value + layer.get_buffer("running_mean").double() ** 2
            parts.append(value.flatten().cpu())
    return torch.cat(parts)


@torch.no_grad()
def load_moments(model: nn.Module, mean: Tensor) -> None:
    """Gives a model the statistics whose moments have this mean over workers."""
    first = 0
    for layer in _moving(model):
        pooled = {}
        for name, buffer in _floats(layer):
            pooled[name] = mean[first : first + buffer.numel()].view(buffer.shape).to(buffer.device)
            first += buffer.numel()
        for name, buffer in _floats(layer):
            value = pooled[name]
            buffer.copy_((value - pooled["running_mean"] ** 2).clamp(min=0) if _is_variance(layer, name) else value)


def counts(model: nn.Module) -> Tensor:
    """All whole numbers among the buffers, int64."""
    found = [buffer.detach().flatten().long().cpu() for layer in _moving(model) for buffer in _whole(layer)]
    return torch.cat([torch.zeros(0, dtype=torch.int64), *found])


@torch.no_grad()
def load_counts(model: nn.Module, largest: Tensor) -> None:
    """Gives a model these whole numbers, in the order of `counts`."""
    first = 0
    for layer in _moving(model):
        for buffer in _whole(layer):
            buffer.copy_(largest[first : first + buffer.numel()].view(buffer.shape))
            first += buffer.numel()


def _moving(model: nn.Module) -> list[nn.Module]:
    return [layer for layer in model.modules() if layer.training]


def _floats(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, buffer) for name, buffer in layer.named_buffers(recurse=False) if buffer.is_floating_point())


def _whole(layer: nn.Module) -> Iterator[Tensor]:
    return (buffer for buffer in layer.buffers(recurse=False) if not buffer.is_floating_point())


def _is_variance(layer: nn.Module, name: str) -> bool:
    return isinstance(layer, _NormBase) and name == "running_var"
