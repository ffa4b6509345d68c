"""Blocks of a net, from the images to the head: by which learning rates fall with depth.

timm's nets say themselves what their blocks are. In others a block is a numbered module, such as `layer1.0` or
`encoder_layer_3`, and else a convolution or matrix with the norms behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from fewer.models.matching import heads

_NUMBERED = re.compile(r"\d+|.*_\d+")


def block_numbers(model: nn.Module, layers: Sequence[str], classes: int) -> dict[str, int]:
    """The block of every parameter, by name: 0 next to the images, the head alone in the last.

    Args:
        model: The net, on any device.
        layers: Its layers in the order in which they run, the head last.
        classes: Number of classes, by which the head is known.
    """
    matcher: Any = getattr(model, "group_matcher", None)
    if matcher is not None:
        from timm.models import group_parameters

        found: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
        last = max(found.values(), default=0)
        return {name: found.get(name, last) for name, _ in model.named_parameters()}
    numbers = _numbers(model, layers, set(heads(model, classes)))
    return {name: numbers.get(name.rpartition(".")[0], 0) for name, _ in model.named_parameters()}


def rate_factors(model: nn.Module, layers: Sequence[str], classes: int, decay: float) -> dict[str, float]:
    """The factor on the learning rate of every parameter: 1 at the head, `decay` a block towards the images.

    "Layer-wise learning-rate decay" (Clark et al. 2020, ELECTRA; for images Bao et al. 2021, BEiT).
    """
    numbers = block_numbers(model, layers, classes)
    last = max(numbers.values(), default=0)
    return {name: decay ** (last - number) for name, number in numbers.items()}


def ends(model: nn.Module, classes: int) -> set[str]:
    """Names of the first layer with a matrix or filters, in the order of definition, and of the head."""
    first = next((name for name, layer in model.named_modules() if name and _has_filters(layer)), None)
    return {*heads(model, classes), *([first] if first else [])}


def _has_filters(layer: nn.Module) -> bool:
    """Whether a layer has weights to multiply by, rather than tokens of its own, such as those of a ViT."""
    weight = getattr(layer, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.dim() > 1


def _has_matrix(layer: nn.Module) -> bool:
    """Whether a layer has a weight to multiply by; tokens and scales of its own are none."""
    own = layer.named_parameters(recurse=False)
    return any(each.dim() > 1 and (name == "weight" or name.endswith("_weight")) for name, each in own)


def _numbers(model: nn.Module, layers: Sequence[str], head: set[str]) -> dict[str, int]:
    """The block of every layer."""
    found: dict[str, int] = {}
    known: dict[str, int] = {}  # numbered modules; what runs in between, such as a shortcut, does not divide one
    number, has_matrix, inside = 0, False, ""
    for name in layers:
        layer = model.get_submodule(name)
        # What holds layers and a parameter of its own, such as a scale, is inside of itself.
        module = _numbered(f"{name}.own" if any(True for _ in layer.children()) else name)
        is_matrix = _has_matrix(layer)
        if name in head:
            continue
        if module in known:
            found[name] = known[module]
            continue
        # A norm belongs to what stands before it; what stands before the first matrix, to that.
        begins = module != inside if module else is_matrix
        if begins and has_matrix:
            number, has_matrix = number + 1, False
        inside, has_matrix = module, has_matrix or is_matrix or bool(module)
        found[name] = number
        if module:
            known[module] = number
    return found | dict.fromkeys(head, number + 1)


def _numbered(layer: str) -> str:
    """The numbered module that a layer is inside of; empty for none."""
    path = layer.split(".")
    for place, part in enumerate(path[:-1]):
        if _NUMBERED.fullmatch(part):
            end = place + 1
            while end < len(path) - 1 and path[end].isdigit():
                end += 1
            return ".".join(path[:end])
    return ""
