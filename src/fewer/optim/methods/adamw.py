"""AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019); torch's own.

A step shrinks a weight by `lr` times its decay, whatever its gradient, and then moves it by `lr` times the mean of its
gradients over the root of the mean of their squares, both corrected for having started at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KEYS = ("betas", "eps")


def build(groups: list[dict[str, Any]], lr: float, betas: tuple[float, float], eps: float) -> torch.optim.Optimizer:
    """Builds it over groups of parameters.

    Args:
        groups: As `groups.parameter_groups` gives them.
        lr: Peak learning rate.
        betas: Weight of the past in the mean of the gradients, and in that of their squares.
        eps: Added to the root in the denominator.
    """
    from torch.optim import AdamW

    return AdamW(groups, lr=lr, betas=betas, eps=eps)
