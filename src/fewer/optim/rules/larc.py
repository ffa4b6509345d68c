"""LARC: LARS's local rates as a limit on the learning rate of SGD, or as a factor on it (NVIDIA, apex)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fewer.optim.rules.base import Group, Rule, gradients, require
from fewer.optim.rules.trust import lars_ratio, one_by_one


class LARC(Rule):
    """SGD with momentum whose gradients are scaled layer by layer, before the momentum.

        local = trust_coefficient * |w| / (|g| + weight_decay * |w| + eps)
        ratio = min(local / lr, 1) with `clip`, so that no layer's rate exceeds `lr`; `local` without
        v = momentum * v + ratio * (g + weight_decay * w);  w = w - lr * v

    LARS has the learning rate inside the momentum: without `clip` the two are equal while the rate stays the same.
    A local rate counts as 1 where a norm is zero. What is neither matrix nor filter takes plain steps.

    Args:
        params: Parameters, or groups of them (see `fewer.optim.rules.base.Rule`).
        lr: Learning rate.
        momentum: Weight of the past.
        weight_decay: L2 coefficient of matrices and filters.
        trust_coefficient: How far a step may move a layer, as a share of its norm.
        eps: Added to the denominator.
        clip: The local rate limits `lr`; else it is a factor on it.
        nesterov: Nesterov's form of momentum.
        excluded_lr_scale, foreach: See `Rule`.

    Raises:
        ValueError: A setting is out of bounds.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.02,
        eps: float = 1e-8,
        clip: bool = True,
        nesterov: bool = False,
        excluded_lr_scale: float = 1.0,
        foreach: bool | None = None,
    ) -> None:
        require("momentum", momentum, below=1)
        require("trust_coefficient", trust_coefficient, above=0)
        require("eps", eps)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "clip": clip,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults, excluded_lr_scale, foreach)

    def step_on(self, params: list[Tensor], group: Group, adapts: bool) -> None:
        lr, decay, momentum, steps = group["lr"], group["weight_decay"], group["momentum"], gradients(params)
        if adapts:
            ratio_L = lars_ratio(params, steps, group["trust_coefficient"], decay, group["eps"])
            if group["clip"]:
                ratio_L = (ratio_L / lr).clamp(max=1.0) if lr else torch.ones_like(ratio_L)
            self.last_ratios |= zip(params, one_by_one(ratio_L), strict=True)
        if decay:
            steps = torch._foreach_add(steps, params, alpha=decay)
        if adapts:
            steps = torch._foreach_mul(steps, one_by_one(ratio_L))
        velocities = self.states(params, "momentum_buffer")
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, steps)
        torch._foreach_add_(params, velocities, alpha=-lr * (momentum if group["nesterov"] else 1.0))
        if group["nesterov"]:
            torch._foreach_add_(params, steps, alpha=-lr)
