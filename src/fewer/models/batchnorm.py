"""BatchNorm's statistics, estimated again for a model that was last trained on a part of the data.

Running averages end with what the last steps saw: after an epoch on hard samples they describe hard samples, while an
evaluation sees all. Only a copy for evaluation and publication is touched, never the model that trains on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from fewer.core.ragged import Values
    from fewer.core.types import Batch


def freeze_statistics(model: nn.Module, all_layers: bool = False) -> None:
    """Puts BatchNorm layers into eval mode, all of them or those whose parameters are all frozen.

    One without parameters is frozen with the module that it is a part of.
    """
    frozen = set() if all_layers else _frozen(model)
    for layer in _layers(model):
        if all_layers or layer in frozen:
            layer.eval()


def has_batchnorm(model: nn.Module) -> bool:
    """Whether anything in a model keeps running statistics of batches."""
    return bool(_layers(model))


def batchnorm_channels(model: nn.Module) -> tuple[int, ...]:
    """Channels of each layer that normalises by batches."""
    return tuple(module.num_features for module in model.modules() if isinstance(module, _BatchNorm))


@torch.no_grad()
def reestimate(model: nn.Module, batches: Iterable[Batch], forward: Callable[[nn.Module, Values], Any]) -> int:
    """Replaces running statistics by the mean of those of some batches; frozen layers and all else stay in eval mode.

    Args:
        model: A model in eval mode.
        batches: Training images.
        forward: Computes a model's output for the inputs of a batch, in the precision of training, in one forward.

    Returns:
        How many images were looked at.
    """
    frozen = _frozen(model)
    layers = [layer for layer in _layers(model) if layer not in frozen]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for the plain mean over all batches
        layer.train()
    images = 0
    for batch in batches:
        forward(model, batch.inputs)
        images += len(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return images


def _frozen(model: nn.Module) -> set[nn.Module]:
    """The BatchNorm layers that are not trained."""
    found, modules = set[nn.Module](), dict(model.named_modules())
    for name, layer in modules.items():
        if isinstance(layer, _BatchNorm):
            while not (parameters := list(modules[name].parameters())) and name:
                name = name.rpartition(".")[0]
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                found.add(layer)
    return found


def _layers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
