"""LARC (NVIDIA): SGD in which each layer's norms limit its learning rate.

A layer's local rate is `trust_coefficient` times the norm of its weights over that of its gradient and decay. With
`trust_clip` the smaller of it and `lr` counts, so that rates of `sgd` stay what they are; without, it is a factor on
`lr`, as in `lars`, but outside the momentum. Biases and norms take plain steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.config import Decay, Flag, NonNegative, Positive, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [{"lr": 0.05}, {"lr": 2.0, "trust_clip": False, "bias_lr_scale": 0.02, "norm_lr_scale": 0.02}]
USUAL_LR = {"random": (0.01, 5.0), "given": (0.001, 2.0)}


class Params(Section):
    momentum: Decay = 0.9
    """0 for none."""
    nesterov: Flag = False
    """Nesterov's form of momentum."""
    trust_clip: Flag = True
    """A layer's local rate limits `lr`; `false`: it is a factor on it."""
    trust_coefficient: Positive = 0.02
    """How far a step may move a layer, as a share of its norm."""
    trust_eps: NonNegative = 1e-8
    """Added to the denominator of the ratio."""


def build(params: Params, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from fewer.optim.rules.larc import LARC

    return LARC(
        groups,
        lr=groups[0]["lr"],
        momentum=params.momentum,
        nesterov=params.nesterov,
        trust_coefficient=params.trust_coefficient,
        eps=params.trust_eps,
        clip=params.trust_clip,
    )
