"""Muon (Jordan et al. 2024): momentum whose steps are orthogonalised, so that all directions of a layer learn alike.

Hidden matrices and filters, as [out, rest], take its steps; the first layer, the head, biases, norms and embeddings
take those of `other_optimizer`. With `adjust_lr = "match_rms_adamw"` its rates and decays are those of `adamw`. The
arithmetic of orthogonalising is a part of a step's FLOPs, in the plan and in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fewer.core.config import Count, Decay, Factor, Flag, Positive, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [
    {"lr": 0.004, "weight_decay": 0.05},
    {"lr": 0.02, "adjust_lr": "original", "other_optimizer": "sgd", "other_lr_scale": 0.5},
]
USUAL_LR = {"random": (0.0003, 0.02), "given": (0.0001, 0.005)}


class Params(Section):
    momentum: Decay = 0.95
    """0 for none."""
    nesterov: Flag = True
    """Nesterov's form of momentum."""
    adjust_lr: Literal["match_rms_adamw", "original"] = "match_rms_adamw"
    """Factor on `lr` by a matrix's shape. `match_rms_adamw`: 0.2 times the root of its larger side, which makes steps
    as large as AdamW's (Liu et al. 2025). `original`: the root of outputs over inputs, 1 at least."""
    newton_schulz_steps: Count = 5
    """Iterations of the orthogonalisation."""
    other_optimizer: Literal["adamw", "sgd"] = "adamw"
    """What takes the steps of anything but hidden matrices and filters; `sgd` has the same momentum."""
    other_lr_scale: Factor = 1.0
    """Factor on the learning rate of these."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """`other_optimizer = "adamw"`: as in `adamw`."""
    eps: Positive = 1e-8
    """Likewise."""


def build(params: Params, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from fewer.optim.rules.muon import Muon

    return Muon(groups, lr=groups[0]["lr"], **params.model_dump(include=set(Params.model_fields)))


def step_flops(params: Params, groups: list[dict[str, Any]]) -> int:
    from fewer.optim.rules.newton_schulz import flops

    return sum(
        flops(parameter.shape, params.newton_schulz_steps)
        for group in groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        if group["kind"] == "weight" and name not in group["ends"]
    )
