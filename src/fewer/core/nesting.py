"""Nested states as tensors by their path, and everything else as it was nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.types import State

SEPARATOR = "|"  # of paths; parameter names hold dots


def flattened(state: State, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by path, and the same nesting of everything else.

    Args:
        state: The state, whose keys are texts.
        prefix: What all paths begin with.
    """
    import torch

    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for key, value in state.items():
        path = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            tensors[path] = value
        elif isinstance(value, dict):
            inner, values[key] = flattened(value, path + SEPARATOR)
            tensors |= inner
        else:
            values[key] = value
    return tensors, values


def nested(tensors: Mapping[str, Tensor], values: dict[str, Any]) -> State:
    """The state that `flattened` took apart; `values` becomes it."""
    for path, tensor in tensors.items():
        *above, last = path.split(SEPARATOR)
        node = values
        for part in above:
            node = node.setdefault(part, {})
        node[last] = tensor
    return values
