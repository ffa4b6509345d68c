"""The first layers of a network: how far they reduce an image, and how to make them reduce a small one less.

Layers are taken in the order in which a forward runs them, found by one forward of a copy on the meta device, where
nothing is computed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_PATCH_PX = 8  # a kernel of this side or more that does not overlap cuts the image into patches


def reduction(model: nn.Module, side_px: int) -> int:
    """By how much the first strided convolution and a max-pooling right after it divide the image's side."""
    conv, pool = _stem(model, side_px)
    return (_first(conv[1].stride) if conv else 1) * (_first(pool[1].stride) if pool else 1)


def small_stem(model: nn.Module, side_px: int) -> nn.Module:
    """Changes the first layers in place, for small images, and returns the model.

    The first convolution that strides gets stride 1 and, where its kernel is larger, one of 3x3; the max-pooling that
    is the next to reduce the image is left out. New weights are the centre of the library's own first weights, scaled
    to keep the variance of what they put out.

    Args:
        model: A network with fresh weights.
        side_px: A side that it takes.

    Raises:
        ValueError: Its first layers are none that could be adapted.
    """
    conv, pool = _stem(model, side_px)
    if conv is None:
        raise ValueError("has no first layer that reduces the image; leave model.stem out")
    layer = conv[1]
    if _first(layer.kernel_size) >= _PATCH_PX and layer.kernel_size == layer.stride:
        raise ValueError(
            f"cuts the image into patches of {_first(layer.kernel_size)} px, which is no stem to adapt; leave "
            "model.stem out, or take a model that begins with convolutions"
        )
    _unstride(layer)
    if pool is not None:
        _put(model, pool[0], nn.Identity())
    return model


def _stem(model: nn.Module, side_px: int) -> tuple[tuple[str, nn.Conv2d] | None, tuple[str, nn.MaxPool2d] | None]:
    """The first convolution that strides, and a max-pooling if that is the next layer to reduce the image."""
    first: tuple[str, nn.Conv2d] | None = None
    for name, layer in _in_order(model, side_px):
        strides = isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)) and _first(layer.stride) > 1
        if not strides:
            continue
        if first is not None:
            return first, (name, layer) if isinstance(layer, nn.MaxPool2d) else None
        if not isinstance(layer, nn.Conv2d):
            return None, None
        first = name, layer
    return first, None


def _in_order(model: nn.Module, side_px: int) -> list[tuple[str, nn.Module]]:
    """The layers without layers of their own, in the order in which a forward first runs them."""
    twin = copy.deepcopy(model).to("meta").eval()
    seen: dict[str, None] = {}
    for name, layer in twin.named_modules():
        if not any(layer.children()):
            layer.register_forward_pre_hook(lambda _layer, _inputs, name=name: seen.setdefault(name))
    with torch.no_grad():
        twin(torch.empty(2, 3, side_px, side_px, device="meta", dtype=next(twin.parameters()).dtype))
    return [(name, model.get_submodule(name)) for name in seen]


@torch.no_grad()
def _unstride(layer: nn.Conv2d) -> None:
    """Gives a convolution stride 1, and cuts its kernel to 3x3 where it is larger."""
    layer.stride = (1, 1)
    side = _first(layer.kernel_size)
    if side > 3:
        begin = (side - 3) // 2
        centre: Tensor = layer.weight[..., begin : begin + 3, begin : begin + 3]
        layer.weight = nn.Parameter((centre * (side / 3)).contiguous())
        layer.kernel_size = (3, 3)
    if layer.padding != "same":
        layer.padding = tuple((each - 1) // 2 for each in layer.kernel_size)


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


def _first(value: Any) -> int:
    return int(value[0]) if isinstance(value, (tuple, list)) else int(value)
