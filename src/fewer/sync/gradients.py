"""Gradients in one vector, and out of it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Gradients, zeros where there is none."""
    import torch

    return [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors in one vector, of the type of the first that holds fractions."""
    import torch

    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    return torch.cat([torch.zeros(0, dtype=dtype), *(tensor.flatten().to(dtype) for tensor in tensors)])


def put_gradients(parameters: Sequence[nn.Parameter], total: Tensor) -> int:
    """Gives parameters the gradients at the beginning of a vector; returns how many numbers these are."""
    import torch

    sizes = [parameter.numel() for parameter in parameters]
    for parameter, piece in zip(parameters, total[: sum(sizes)].split(sizes), strict=True):
        parameter.grad = torch.empty_like(parameter).copy_(piece.view(parameter.shape))
    return sum(sizes)
