"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") for matrices and filters."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from fewer.optim.rules.base import Group, Rule, Tensors, gradients, require, subset
from fewer.optim.rules.lamb import LAMB
from fewer.optim.rules.larc import LARC
from fewer.optim.rules.newton_schulz import ITERATIONS, orthogonalised


class Muon(Rule):
    """Momentum whose steps are orthogonalised, for hidden matrices and filters; AdamW or SGD for anything else.

        v = momentum * v + (1 - momentum) * g;  u = (1 - momentum) * g + momentum * v with Nesterov, else v
        w = w - lr * weight_decay * w - lr * scale * orthogonalised(u)

    A filter counts as the matrix [out, rest]. Matrices of one shape are orthogonalised in one batch, each by itself.
    `scale` is 0.2 * sqrt(larger side) for "match_rms_adamw" (Liu et al. 2025, "Muon is scalable for LLM training"),
    with which learning rates are those of AdamW; for "original" it is sqrt(max(1, out / rest)).

    With `renormalise_every_steps` = k, steps k, 2 k, ... of a matrix first scale it to the norm sqrt(out), that of one
    whose rows have length 1 (airbench94_muon, Jordan 2025, with k = 1). A rate of `lr` times `scale` is then a share of
    the matrix itself: it means the same in every layer and does not fade as weights grow. It is for layers that a
    normalisation follows, which makes their length meaningless. At a rate of zero nothing is scaled.

    What is orthogonalised are groups of the kind "weight", without the parameters that a group's set `ends` names:
    those of the first layer and of the head, as in groups of `fewer.optim.groups.parameter_groups`. Where no group
    says its kind, all tensors of two or more dimensions are: give the first layer and the head a group of another kind.

    Args:
        params: Parameters, or groups of them (see `fewer.optim.rules.base.Rule`).
        lr: Learning rate.
        momentum: Weight of the past.
        nesterov: Nesterov's form of momentum.
        weight_decay: Decay of weights, decoupled from the gradient.
        adjust_lr: "match_rms_adamw" or "original".
        newton_schulz_steps: Iterations of the orthogonalisation.
        renormalise_every_steps: Steps between two scalings of matrices and filters to a norm of sqrt(out); 0: never.
        other_optimizer: What takes the steps of anything else: "adamw", or "sgd" in the same form of momentum.
        other_lr_scale: Factor on the learning rate of anything else.
        other_momentum: Momentum of "sgd"; left out: `momentum`.
        betas, eps: Of AdamW.
        dtype: Type that is orthogonalised in; left out: bfloat16 for float32 on CUDA, else the weights' own.
        excluded_lr_scale: See `Rule`.

    Raises:
        ValueError: A setting is out of bounds.
    """

    kept = (
        *Rule.kept,
        "_adjust_lr",
        "_newton_schulz_steps",
        "_renormalise_every_steps",
        "_dtype",
        "_other",
        "_other_lr_scale",
    )

    def __init__(
        self,
        params: Any,
        lr: float = 0.001,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        adjust_lr: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
        newton_schulz_steps: int = ITERATIONS,
        renormalise_every_steps: int = 0,
        other_optimizer: Literal["adamw", "sgd"] = "adamw",
        other_lr_scale: float = 1.0,
        other_momentum: float | None = None,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        dtype: torch.dtype | None = None,
        excluded_lr_scale: float = 1.0,
    ) -> None:
        require("momentum", momentum, below=1)
        require("newton_schulz_steps", newton_schulz_steps, least=1)
        require("renormalise_every_steps", renormalise_every_steps)
        require("other_lr_scale", other_lr_scale, above=0)
        others_momentum = momentum if other_momentum is None else other_momentum
        require("other_momentum", others_momentum, below=1)
        for name, value, allowed in (
            ("adjust_lr", adjust_lr, ("match_rms_adamw", "original")),
            ("other_optimizer", other_optimizer, ("adamw", "sgd")),
        ):
            if value not in allowed:
                raise ValueError(f'{name} = {value!r}: "{allowed[0]}" or "{allowed[1]}" is allowed')
        self._adjust_lr, self._newton_schulz_steps, self._dtype = adjust_lr, newton_schulz_steps, dtype
        self._renormalise_every_steps, self._other_lr_scale = renormalise_every_steps, other_lr_scale
        # Without trust ratios, which groups of other kinds do not have, LAMB is AdamW and LARC is SGD.
        nothing = [{"params": [torch.zeros(1)], "kind": "other"}]
        self._other: Rule = (
            LAMB(nothing, lr, betas, eps, weight_decay)
            if other_optimizer == "adamw"
            else LARC(nothing, lr, others_momentum, weight_decay, nesterov=nesterov and others_momentum > 0)
        )
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(params, defaults, excluded_lr_scale, foreach=True)

    def parts(self, group: Group) -> list[Group]:
        """Groups of what is orthogonalised, and of anything else, with the other optimizer's settings."""
        found = []
        for part in super().parts(group):
            if part["kind"] == "weight":
                ends: Collection[Any] = part.get("ends", ())
                is_end = [name in ends for name in part["names" if "names" in part else "params"]]
                found.append(subset(part, [not each for each in is_end]))
                part = subset({**part, "kind": "end"}, is_end)
            found.append({**self._other.defaults, **self.rescaled(part, self._other_lr_scale)})
        return found

    def begin(self) -> None:
        """The other optimizer's step; it shares groups and state with this one, so that a checkpoint holds both."""
        self._other.param_groups = [group for group in self.param_groups if group["kind"] != "weight"]
        self._other.state = self.state
        self._other.step()

    def step_group(self, group: Group) -> None:
        if group["kind"] == "weight":
            super().step_group(group)

    def step_on(self, params: list[Tensor], group: Group, adapts: bool) -> None:
        lr, past, found = group["lr"], group["momentum"], gradients(params)
        velocities = self.states(params, "momentum_buffer")
        torch._foreach_lerp_(velocities, found, 1 - past)
        updates: Tensors = torch._foreach_lerp(found, velocities, past) if group["nesterov"] else velocities
        if self._renormalise_every_steps and lr:
            self._renormalise(params)
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        for chosen, matrix_NRC in self._batches(updates):
            scale = self._scale(matrix_NRC.shape[1:])
            moved = [each.view(params[at].shape) for at, each in zip(chosen, self._orthogonal(matrix_NRC), strict=True)]
            torch._foreach_add_([params[at] for at in chosen], moved, alpha=-lr * scale)

    def _renormalise(self, params: list[Tensor]) -> None:
        """Counts a step for each parameter, and scales those whose turn it is to a norm of sqrt(out)."""
        due = [each for each, taken in self.counted(params) if taken % self._renormalise_every_steps == 0]
        if due:
            norms = torch._foreach_norm(due)
            # A matrix of zeros stays one.
            factors = [math.sqrt(len(each)) / norm.clamp(min=1e-7) for each, norm in zip(due, norms, strict=True)]
            torch._foreach_mul_(due, factors)

    def _batches(self, updates: Tensors) -> Iterator[tuple[list[int], Tensor]]:
        """Updates as matrices [out, rest], those of one shape together: their places, and [matrices, out, rest]."""
        by_shape: dict[tuple[int, int], list[int]] = {}
        for at, update in enumerate(updates):
            by_shape.setdefault((update.shape[0], update[0].numel()), []).append(at)
        for shape, chosen in by_shape.items():
            yield chosen, torch.stack([updates[at].reshape(shape) for at in chosen])

    def _orthogonal(self, matrix_NRC: Tensor) -> list[Tensor]:
        is_fast = matrix_NRC.is_cuda and matrix_NRC.dtype == torch.float32
        dtype = self._dtype or (torch.bfloat16 if is_fast else matrix_NRC.dtype)
        found = orthogonalised(matrix_NRC.to(dtype), self._newton_schulz_steps).to(matrix_NRC.dtype)
        return list(found.contiguous().unbind(0))

    def _scale(self, shape: torch.Size) -> float:
        out, rest = shape
        if self._adjust_lr == "match_rms_adamw":
            return 0.2 * math.sqrt(max(out, rest))
        return math.sqrt(max(1.0, out / rest))
