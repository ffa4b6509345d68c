"""LAMB (You et al. 2019): Adam's step scaled to the norm of each layer's weights, for batches of thousands of images.

`weight_decay` is a part of the step that is scaled, and 0.01 to 0.1 is usual. With `clip_norm = 1` it is NVIDIA's form,
NVLAMB; with `trust_clip` it is LAMBC. Biases and norms take Adam's steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.config import Decay, Flag, Positive, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [
    {"lr": 0.004, "weight_decay": 0.02},
    {"lr": 0.004, "clip_norm": 1.0, "trust_clip": True, "bias_correction": False},
]
USUAL_LR = {"random": (0.0005, 0.01), "given": (0.0002, 0.005)}


class Params(Section):
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Weight of the past in the mean of the gradients, and in that of their squares."""
    eps: Positive = 1e-6
    """Added to the root in the denominator."""
    trust_clip: Flag = False
    """No layer's step is scaled up (LAMBC)."""
    bias_correction: Flag = True
    """The two means are corrected for having started at zero."""


def build(params: Params, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from fewer.optim.rules.lamb import LAMB

    return LAMB(
        groups,
        lr=groups[0]["lr"],
        betas=params.betas,
        eps=params.eps,
        trust_clip=params.trust_clip,
        bias_correction=params.bias_correction,
    )
