"""Trust ratios: by how much a layer's step is scaled, from the norms of its weights and of its step."""

from __future__ import annotations

import torch
from torch import Tensor

from fewer.optim.rules.base import Tensors

_COARSE = (torch.float16, torch.bfloat16)  # whose norms are taken in float32


def norms(tensors: Tensors) -> Tensor:
    """The 2-norms of tensors of one device and type, one after the other: [tensors]."""
    dtype = torch.float32 if tensors[0].dtype in _COARSE else None
    return torch.stack(list(torch._foreach_norm(tensors, 2, dtype=dtype)))


def where_nonzero(ratio_L: Tensor, *norms_L: Tensor) -> Tensor:
    """Ratios, and 1 where a norm is zero: a layer that starts at zero would stay there otherwise."""
    for norm_L in norms_L:
        ratio_L = torch.where(norm_L > 0, ratio_L, 1.0)
    return ratio_L


def lars_ratio(params: Tensors, gradients: Tensors, trust: float, decay: float, eps: float) -> Tensor:
    """The local learning rates of You et al. 2017, equation 6: trust * |w| / (|g| + decay * |w| + eps), [tensors]."""
    weight_L, gradient_L = norms(params), norms(gradients)
    return where_nonzero(trust * weight_L / (gradient_L + decay * weight_L + eps), weight_L, gradient_L)


def one_by_one(values_L: Tensor) -> list[Tensor]:
    """A vector as tensors without dimensions, as torch's functions on lists take them."""
    return list(values_L.unbind(0))
