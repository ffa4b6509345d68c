"""LARS (You, Gitman & Ginsburg 2017): SGD whose rate follows each layer's norms, for batches of thousands of images.

A layer's rate is `lr` times `trust_coefficient` times the norm of its weights over that of its gradient and decay, so
that no layer moves by more than a small share of itself. Biases and norms take plain steps, of `bias_lr_scale` and
`norm_lr_scale` times `lr`: as `lr` is large here, they need a scale below 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fewer.core.config import Decay, NonNegative, Positive, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [
    {"lr": 5.0, "bias_lr_scale": 0.02, "norm_lr_scale": 0.02},
    {"lr": 5.0, "form": "normalised", "momentum": 0.8, "bias_lr_scale": 0.02, "norm_lr_scale": 0.02},
]
USUAL_LR = {"random": (0.5, 10.0), "given": (0.1, 5.0)}


class Params(Section):
    form: Literal["paper", "normalised"] = "paper"
    """`paper`: rate and ratio are inside the momentum (You et al. 2017). `normalised`: each layer moves along its mean
    gradient by a share of its norm, whatever the gradient's size (You et al. 2019, algorithm 1)."""
    momentum: Decay = 0.9
    """0 for none."""
    trust_coefficient: Positive = 0.001
    """How far a step may move a layer, as a share of its norm, at a rate of 1."""
    trust_eps: NonNegative = 1e-8
    """Added to the denominator of the ratio."""


def build(params: Params, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from fewer.optim.rules.lars import LARS

    return LARS(
        groups,
        lr=groups[0]["lr"],
        momentum=params.momentum,
        trust_coefficient=params.trust_coefficient,
        eps=params.trust_eps,
        form=params.form,
    )
