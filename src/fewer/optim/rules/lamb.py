"""LAMB (You et al. 2019, "Large batch optimization for deep learning: training BERT in 76 minutes", algorithm 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fewer.optim.rules.base import Group, Rule, Tensors, gradients, require
from fewer.optim.rules.trust import norms, one_by_one, where_nonzero


class LAMB(Rule):
    """Adam's step with decay in it, scaled layer by layer to the norm of the weights.

        m = b1 * m + (1 - b1) * g;  v = b2 * v + (1 - b2) * g^2
        u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay * w
        w = w - lr * |w| / |u| * u

    The ratio |w| / |u| is 1 where a norm is zero. What is neither matrix nor filter takes Adam's steps.

    Args:
        params: Parameters, or groups of them (see `fewer.optim.rules.base.Rule`).
        lr: Learning rate; 0.005 for 2048 images in a step is usual (Wightman et al. 2021).
        betas: Weight of the past in the mean of the gradients, and in that of their squares.
        eps: Added to the root in the denominator.
        weight_decay: Decay of matrices and filters.
        clip_norm: Largest norm of the gradient over all parameters; 1 is NVIDIA's form, NVLAMB. None: any.
        trust_clip: Ratios are at most 1 (LAMBC, Fong et al. 2020).
        bias_correction: Means are corrected for having started at zero.
        excluded_lr_scale, foreach: See `Rule`.

    Raises:
        ValueError: A setting is out of bounds.
    """

    kept = (*Rule.kept, "clip_norm", "_excess")

    def __init__(
        self,
        params: Any,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        trust_clip: bool = False,
        bias_correction: bool = True,
        excluded_lr_scale: float = 1.0,
        foreach: bool | None = None,
    ) -> None:
        for nth, beta in enumerate(betas):
            require(f"betas[{nth}]", beta, below=1)
        require("eps", eps)
        if clip_norm is not None:
            require("clip_norm", clip_norm, above=0)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "trust_clip": trust_clip,
            "bias_correction": bias_correction,
        }
        self.clip_norm = clip_norm
        self._excess: Tensor | None = None
        super().__init__(params, defaults, excluded_lr_scale, foreach)

    def begin(self) -> None:
        """Takes by how many times the norm of all gradients exceeds `clip_norm`."""
        self._excess = None
        if self.clip_norm is None:
            return
        found = [gradients(chunk) for group in self.param_groups for chunk in self.chunks(group)]
        if found:
            per_chunk = [torch.linalg.vector_norm(norms(chunk)).to(found[0][0].device) for chunk in found]
            total = torch.linalg.vector_norm(torch.stack([norm.to(per_chunk[0].dtype) for norm in per_chunk]))
            self._excess = (total / self.clip_norm).clamp(min=1.0)

    def step_group(self, group: Group) -> None:
        for chunk in self.chunks(group):
            for steps, params in self._by_steps(chunk):
                self._step(params, group, steps)

    def _by_steps(self, params: list[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
        """Counts a step for each parameter; gives those together that have taken equally many."""
        together: dict[int, list[Tensor]] = {}
        for parameter, taken in self.counted(params):
            together.setdefault(taken, []).append(parameter)
        yield from together.items()

    def _step(self, params: list[Tensor], group: Group, steps: int) -> None:
        lr, decay = group["lr"], group["weight_decay"]
        updates, scale = self._adam(params, group, steps)
        if decay:
            torch._foreach_add_(updates, params, alpha=decay / scale)
        if group["kind"] != "weight":
            torch._foreach_add_(params, updates, alpha=-lr * scale)
            return
        weight_L, update_L = norms(params), norms(updates) * scale
        ratio_L = where_nonzero(weight_L / update_L, weight_L, update_L)
        if group["trust_clip"]:
            ratio_L = ratio_L.clamp(max=1.0)
        self.last_ratios |= zip(params, one_by_one(ratio_L), strict=True)
        torch._foreach_addcmul_(params, updates, one_by_one(ratio_L * (-lr * scale)))

    def _adam(self, params: list[Tensor], group: Group, steps: int) -> tuple[Tensors, float]:
        """Adam's steps, each divided by the same number, and that number: so the corrections cost no pass of memory."""
        (first, second), found = group["betas"], gradients(params)
        if self._excess is not None:
            found = torch._foreach_div(found, self._excess.to(params[0].device))
        means, squares = self.states(params, "exp_avg"), self.states(params, "exp_avg_sq")
        torch._foreach_lerp_(means, found, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, found, found, value=1 - second)
        debias, root = 1.0, 1.0
        if group["bias_correction"]:
            debias, root = 1 - first**steps, (1 - second**steps) ** 0.5
        updates = torch._foreach_sqrt(squares)
        torch._foreach_add_(updates, group["eps"] * root)
        torch._foreach_reciprocal_(updates)
        torch._foreach_mul_(updates, means)
        return updates, root / debias
