"""A model's structure without memory: names, shapes and types of its tensors, and none of their first values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Drawing first values on the meta device computes nothing, and yet imports torch's compiler, which takes seconds.
_DRAWS = ("normal_", "uniform_", "bernoulli_", "exponential_", "log_normal_", "random_")


@contextmanager
def skeleton() -> Iterator[None]:
    """Models that are built inside have tensors on the meta device."""
    with torch.device("meta"), _WithoutDraws():
        yield


class _WithoutDraws(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = args[0] if args else (kwargs or {}).get("tensor")  # as torch.nn.init calls it
        if getattr(func, "__name__", "") in _DRAWS and isinstance(drawn, Tensor) and drawn.is_meta:
            return drawn
        return func(*args, **(kwargs or {}))


def is_its_state(model: nn.Module) -> bool:
    """Whether all tensors of a model are in its state, so that the state makes it complete."""
    known = {id(value) for value in model.state_dict(keep_vars=True).values()}
    held = [value for module in model.modules() for value in vars(module).values()]
    held += [item for value in held if isinstance(value, (dict, list, tuple)) for item in _items(value)]
    return all(id(value) in known for value in held if isinstance(value, Tensor))


def _items(value: dict[str, Any] | list[Any] | tuple[Any, ...]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)
