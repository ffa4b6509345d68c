"""LARS (You, Gitman & Ginsburg 2017, "Large batch training of convolutional networks"), and its normalised form."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from fewer.optim.rules.base import Group, Rule, gradients, require
from fewer.optim.rules.trust import lars_ratio, norms, one_by_one, where_nonzero


class LARS(Rule):
    """SGD with momentum whose learning rate follows each layer's norms of weights and gradients.

    `form="paper"` (algorithm 1 of You et al. 2017), where the learning rate is a part of the momentum:

        local = trust_coefficient * |w| / (|g| + weight_decay * |w| + eps)
        v = momentum * v + lr * local * (g + weight_decay * w);  w = w - v

    `form="normalised"` (algorithm 1 of You et al. 2019, "Large batch optimization for deep learning", which without
    momentum is w - lr * phi(|w|) * g / |g|), where phi(z) = trust_coefficient * z:

        m = momentum * m + (1 - momentum) * (g + weight_decay * w);  w = w - lr * trust_coefficient * |w| * m / |m|

    A ratio is 1 where a norm is zero. What is neither matrix nor filter takes plain steps of its group's own rate.

    Args:
        params: Parameters, or groups of them (see `fewer.optim.rules.base.Rule`).
        lr: Learning rate of matrices and filters; 1 to 30 is usual in the paper's form, with a coefficient of 0.001.
        momentum: Weight of the past.
        weight_decay: L2 coefficient of matrices and filters.
        trust_coefficient: How far a step may move a layer, as a share of its norm at `lr` = 1.
        eps: Added to the denominator.
        form: "paper" or "normalised".
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
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
        form: Literal["paper", "normalised"] = "paper",
        excluded_lr_scale: float = 1.0,
        foreach: bool | None = None,
    ) -> None:
        require("momentum", momentum, below=1)
        require("trust_coefficient", trust_coefficient, above=0)
        require("eps", eps)
        if form not in ("paper", "normalised"):
            raise ValueError(f'form = {form!r}: "paper" or "normalised" is allowed')
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "form": form,
        }
        super().__init__(params, defaults, excluded_lr_scale, foreach)

    def step_on(self, params: list[Tensor], group: Group, adapts: bool) -> None:
        (self._paper if group["form"] == "paper" else self._normalised)(params, group, adapts)

    def _paper(self, params: list[Tensor], group: Group, adapts: bool) -> None:
        lr, decay, steps = group["lr"], group["weight_decay"], gradients(params)
        velocities = self.states(params, "momentum_buffer")
        torch._foreach_mul_(velocities, group["momentum"])
        if adapts:
            local_L = lars_ratio(params, steps, group["trust_coefficient"], decay, group["eps"])
            self.last_ratios |= zip(params, one_by_one(local_L), strict=True)
        if decay:
            steps = torch._foreach_add(steps, params, alpha=decay)
        if adapts:
            torch._foreach_addcmul_(velocities, steps, one_by_one(local_L * lr))
        else:
            torch._foreach_add_(velocities, steps, alpha=lr)
        torch._foreach_sub_(params, velocities)

    def _normalised(self, params: list[Tensor], group: Group, adapts: bool) -> None:
        means, past = self.states(params, "momentum_buffer"), group["momentum"]
        torch._foreach_mul_(means, past)
        torch._foreach_add_(means, gradients(params), alpha=1 - past)
        if group["weight_decay"]:
            torch._foreach_add_(means, params, alpha=(1 - past) * group["weight_decay"])
        if not adapts:
            torch._foreach_add_(params, means, alpha=-group["lr"])
            return
        weight_L, mean_L = norms(params), norms(means)
        ratio_L = where_nonzero(group["trust_coefficient"] * weight_L / (mean_L + group["eps"]), weight_L, mean_L)
        self.last_ratios |= zip(params, one_by_one(ratio_L), strict=True)
        torch._foreach_addcmul_(params, means, one_by_one(ratio_L * -group["lr"]))
