"""Muon (Jordan et al. 2024): momentum whose steps are orthogonalised, so that all directions of a layer learn alike.

Hidden matrices and filters, as [out, rest], take its steps; the first layer, the head, biases, norms and embeddings
take those of `other_optimizer`. With `adjust_lr = "match_rms_adamw"` its rates and decays are those of `adamw`. The
arithmetic of orthogonalising is a part of a step's FLOPs, in the plan and in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fewer.core.config import Count, Decay, Factor, Flag, Index, Positive, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [
    {"lr": 0.004, "weight_decay": 0.05},
    {"lr": 0.02, "adjust_lr": "original", "other_optimizer": "sgd", "other_lr_scale": 0.5},
    {
        "lr": 0.1,
        "adjust_lr": "original",
        "newton_schulz_steps": 3,
        "renormalise_every_steps": 2,
        "other_optimizer": "sgd",
        "other_momentum": 0.5,
    },
]


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
    renormalise_every_steps: Index = 0
    """Every so many steps, each matrix or filter is first scaled to a norm of the root of its outputs, as if its rows
    had length 1 (Jordan 2025, airbench94_muon: 1); 0: never. With `adjust_lr = "original"`, `lr` is then about the
    share of a layer that a step replaces: 0.1 to 0.3 is usual there. For nets that normalise behind every layer."""
    other_optimizer: Literal["adamw", "sgd"] = "adamw"
    """What takes the steps of anything but hidden matrices and filters; `sgd` has the same form of momentum."""
    other_lr_scale: Factor = 1.0
    """Factor on the learning rate of these."""
    other_momentum: Decay | None = None
    """`other_optimizer = "sgd"`: its momentum; left out: `momentum`."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """`other_optimizer = "adamw"`: as in `adamw`."""
    eps: Positive = 1e-8
    """Likewise."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.other_optimizer == "adamw":
            reason = 'has no effect with train.other_optimizer = "adamw"; leave it out, or set that to "sgd"'
            return self.changed(["other_momentum"], reason)
        if self.other_momentum is not None and getattr(self, "cycle_momentum", "off") != "off":
            return {"other_momentum": 'has no effect beside train.cycle_momentum; set that to "off" for constant ones'}
        return {}


def usual_lr(params: Params) -> dict[str, tuple[float, float]]:
    """Of a layer that keeps its length, a rate is the share that a step replaces; 0.2 to 0.24 in the fastest runs."""
    if params.renormalise_every_steps and params.adjust_lr == "original":
        return {"random": (0.05, 0.3), "given": (0.005, 0.1)}
    return {"random": (0.0003, 0.02), "given": (0.0001, 0.005)}


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
