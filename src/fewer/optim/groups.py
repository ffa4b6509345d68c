"""Groups of parameters with a learning rate and a decay of their own, and an optimizer's state by parameter name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_OF_GROUP = "group.step"  # the entry of a counter that a whole group has
_NUMBERS: dict[str, Callable[[float], Any]] = {"bool": bool, "int": int, "float": float}
KINDS = ("weight", "bias", "norm", "embedding")
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def grouped(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """A model's trainable parameters by kind and name.

    `weight`: matrices and filters. `bias`: their biases. `norm`: weights and biases of normalisation layers.
    `embedding`: everything else, such as class tokens, position embeddings, tables of relative positions and layer
    scales, which are usually not decayed.

    A parameter that is frozen from the start is left out unless its layer thaws later; one that is frozen later
    simply gets no gradient. One that several layers share is listed once.
    """
    groups: dict[str, dict[str, nn.Parameter]] = {kind: {} for kind in KINDS}
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                groups[_kind(module, name, parameter)][f"{prefix}.{name}".lstrip(".")] = parameter
    return groups


def _kind(module: nn.Module, name: str, parameter: nn.Parameter) -> str:
    if isinstance(module, NORMS):
        return "norm"
    if name == "bias" or name.endswith("_bias"):
        return "bias"
    # Attention keeps its matrices as `in_proj_weight`; a weight of one dimension is a scale, such as PReLU's slope.
    is_matrix = name == "weight" or name.endswith("_weight")
    return "weight" if is_matrix and parameter.dim() > 1 and not isinstance(module, _EMBEDDINGS) else "embedding"


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: Mapping[str, float],
    lr_scale: Mapping[str, float],
    layer_lr_scale: Mapping[str, float] = {},
    parameter_lr_scale: Mapping[str, float] = {},
    ends: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Groups for any optimizer; each remembers its `kind`, its peak rate as `base_lr` and its parameters' `names`.

    Args:
        model: The model.
        lr: Peak learning rate of the weights.
        weight_decay: Decay for each kind of parameter; 0 where a kind is left out.
        lr_scale: Factor on `lr` for each kind of parameter; 1 where a kind is left out.
        layer_lr_scale: A further factor for all parameters of a layer, by the layer's name; 1 where it is left out.
        parameter_lr_scale: A further one by the parameter's name; 1 where it is left out.
        ends: Names of the first layer and of the head: a group remembers its parameters of these as `ends`.
    """
    return [
        {
            "params": list(named.values()),
            "names": list(named),
            "kind": kind,
            "ends": frozenset(name for name in named if name.rpartition(".")[0] in ends),
            "lr": lr * lr_scale.get(kind, 1.0) * factor,
            "base_lr": lr * lr_scale.get(kind, 1.0) * factor,
            "weight_decay": weight_decay.get(kind, 0.0),
        }
        for kind, of_kind in grouped(model).items()
        for factor, named in _by_factor(of_kind, layer_lr_scale, parameter_lr_scale).items()
    ]


def _by_factor(
    named: Mapping[str, nn.Parameter], layer_lr_scale: Mapping[str, float], parameter_lr_scale: Mapping[str, float]
) -> dict[float, dict[str, nn.Parameter]]:
    """Parameters by the factor of the layer that they belong to, times their own."""
    found: dict[float, dict[str, nn.Parameter]] = {}
    for name, parameter in named.items():
        factor = layer_lr_scale.get(name.rpartition(".")[0], 1.0) * parameter_lr_scale.get(name, 1.0)
        found.setdefault(factor, {})[name] = parameter
    return found


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets every group's learning rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def set_momentum(optimizer: torch.optim.Optimizer, momentum: float) -> None:
    """Sets every group's momentum, or the first of its betas; nothing where it has neither."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = momentum


def momentum_of(optimizer: torch.optim.Optimizer) -> float:
    """The momentum that steps are taken with now, or the first beta; 0 where there is neither."""
    group = optimizer.param_groups[0]
    return float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0))


def trust_ratios(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The trust ratios of the last step by parameter name; empty for optimizers without. Waits for the device once."""
    ratios: Mapping[Tensor, Tensor] = getattr(optimizer, "last_ratios", {})
    pairs = [pair for group in optimizer.param_groups for pair in zip(group["names"], group["params"], strict=True)]
    named = {name: ratios[parameter] for name, parameter in pairs if parameter in ratios}
    return dict(zip(named, torch.stack(list(named.values())).tolist(), strict=True)) if named else {}


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by `parameter name/entry`, and its numbers by `parameter name/entry:type`.

    A counter of steps that a group keeps for all its parameters stands at the first of them, as `group.step`.
    """
    found: dict[str, Tensor] = {}
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            found |= _entries(name, optimizer.state.get(parameter, {}))
        if "step" in group and group["names"]:
            found |= _entries(group["names"][0], {_OF_GROUP: group["step"]})
    return found


def _entries(name: str, state: Mapping[str, Any]) -> dict[str, Tensor]:
    found = {}
    for entry, value in state.items():
        if isinstance(value, torch.Tensor):
            found[f"{name}/{entry}"] = value
        elif isinstance(value, bool | int | float):
            found[f"{name}/{entry}:{type(value).__name__}"] = torch.tensor(float(value), dtype=torch.float64)
    return found


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_state` gave, in each parameter's own memory layout.

    The layout matters: a reduction over another layout adds in another order, and resuming would no longer be exact.
    """
    by_name = {
        name: (parameter, group)
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
    }
    optimizer.state.clear()
    for key, value in state.items():
        name, _, entry = key.rpartition("/")
        parameter, group = by_name[name]
        entry, _, kind = entry.partition(":")
        loaded = _NUMBERS[kind](value.item()) if kind else _like(parameter, group, entry, value)
        if entry == _OF_GROUP:
            group["step"] = loaded
        else:
            optimizer.state[parameter][entry] = loaded


def _like(parameter: Tensor, group: Mapping[str, Any], entry: str, value: Tensor) -> Tensor:
    if entry in ("step", _OF_GROUP):
        # torch's optimizers keep counters of steps on the CPU, but where the device itself counts.
        on_device = group.get("fused") or group.get("capturable")
        return value.detach().clone() if not on_device else value.detach().to(parameter.device, copy=True)
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value).detach()
    return value.detach().to(parameter.device, copy=True)
