"""SGD with momentum over three groups of parameters: weights, biases, and those of normalisation layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def grouped(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """A model's trainable parameters by kind (`weight`, `bias`, `norm`) and name.

    A parameter that is frozen from the start is left out unless its layer thaws later; one that is frozen later
    simply gets no gradient.
    """
    groups: dict[str, dict[str, nn.Parameter]] = {"weight": {}, "bias": {}, "norm": {}}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                kind = "norm" if isinstance(module, _NORMS) else "bias" if name == "bias" else "weight"
                groups[kind][f"{prefix}.{name}".lstrip(".")] = parameter
    return groups


def sgd(
    model: nn.Module,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: Mapping[str, float],
    lr_scale: Mapping[str, float],
) -> torch.optim.SGD:
    """Builds torch's SGD; each group remembers its peak rate as `base_lr` and its parameters' names as `names`.

    Args:
        model: The model.
        lr: Peak learning rate of the weights.
        momentum: Momentum, 0 for none.
        nesterov: Nesterov's form of it.
        weight_decay: Decay for each kind of parameter.
        lr_scale: Factor on `lr` for each kind of parameter.
    """
    groups = [
        {
            "params": list(named.values()),
            "names": list(named),
            "lr": lr * lr_scale[kind],
            "base_lr": lr * lr_scale[kind],
            "weight_decay": weight_decay[kind],
        }
        for kind, named in grouped(model).items()
        if named
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets every group's learning rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by `parameter name/entry`."""
    return {
        f"{name}/{entry}": value
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        for entry, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, torch.Tensor)
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_state` gave, in each parameter's own memory layout.

    The layout matters: a reduction over another layout adds in another order, and resuming would no longer be exact.
    """
    by_name = {
        name: parameter
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
    }
    optimizer.state.clear()
    for key, value in state.items():
        name, _, entry = key.rpartition("/")
        parameter = by_name[name]
        copied = (
            torch.empty_like(parameter, dtype=value.dtype).copy_(value) if value.shape == parameter.shape else value
        )
        optimizer.state[parameter][entry] = copied.detach()
