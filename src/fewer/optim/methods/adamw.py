"""AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019); torch's own.

A step shrinks a weight by `lr` times its decay, whatever its gradient, and then moves it by `lr` times the mean of its
gradients over the root of the mean of their squares, both corrected for having started at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.config import Decay, Positive, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [{"lr": 0.003, "weight_decay": 0.05}]
USUAL_LR = {"random": (0.0003, 0.005), "given": (0.0001, 0.003)}


class Params(Section):
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Weight of the past in the mean of the gradients, and in that of their squares."""
    eps: Positive = 1e-8
    """Added to the root in the denominator."""


def build(params: Params, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from torch.optim import AdamW

    return AdamW(groups, betas=params.betas, eps=params.eps)
