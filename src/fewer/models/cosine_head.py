"""A normalised head for a network: cosines times a scale (Wang et al. 2018, CosFace; Cao et al. 2019).

B: images of the batch. C: classes. D: features.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, final

import torch
from torch import nn
from torch.nn import functional as F

from fewer.models.matching import heads

if TYPE_CHECKING:
    from torch import Tensor


@final
class NormalizedLinear(nn.Linear):
    """Maps features (B, D) to `scale` times their cosines with a direction for each class (B, C).

    The cosines are computed in float32 or wider, whatever the precision of what is around them: a scale of 30 turns
    the rounding of half precision into tenths of a logit.

    Args:
        features: D.
        classes: C.
        scale: Factor on the cosines.
    """

    def __init__(self, features: int, classes: int, scale: float) -> None:
        self.scale = scale
        super().__init__(features, classes, bias=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws a direction for each class; its length does not matter but for the size of the first steps."""
        self.weight.normal_()
        self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, x_BD: Tensor) -> Tensor:
        kind = x_BD.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            wide = torch.promote_types(x_BD.dtype, torch.float32)
            return self.scale * F.linear(F.normalize(x_BD.to(wide), dim=1), F.normalize(self.weight.to(wide), dim=1))


def normalize_head(model: nn.Module, classes: int, scale: float) -> nn.Module:
    """Replaces the last linear layer, and further ones that are called head, by normalised ones with fresh weights.

    Raises:
        ValueError: The network's last layer is not linear.
    """
    found = {name: model.get_submodule(name) for name in heads(model, classes)}
    if not found or not all(isinstance(layer, nn.Linear) for layer in found.values()):
        raise ValueError('has no linear layer at its end that could be normalised; set model.head = "linear"')
    for name, layer in found.items():
        assert isinstance(layer, nn.Linear)
        with layer.weight.device:
            normalized = NormalizedLinear(layer.in_features, classes, scale)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, normalized)
    return model
