"""LARC: against its rule by hand, and against timm's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fewer.optim import LARC, LARS
from rule_steps import by_hand, furthest, split, stepped

MOMENTUM, DECAY, TRUST = 0.8, 0.05, 0.1


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("nesterov", [True, False])
def test_it_is_sgd_with_scaled_gradients(clip: bool, nesterov: bool) -> None:
    def move(w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, is_matrix: bool) -> Tensor:
        ratio, decay = 1.0, DECAY if is_matrix else 0.0
        weight, gradient = float(w.norm()), float(g.norm())
        if is_matrix:
            local = TRUST * weight / (gradient + DECAY * weight) if weight > 0 and gradient > 0 else 1.0
            ratio = min(local / lr, 1.0) if clip else local
        step = ratio * (g + decay * w)
        state["v"] = MOMENTUM * state.get("v", 0 * w) + step
        return w - lr * (step + MOMENTUM * state["v"] if nesterov else state["v"])

    def build(model: torch.nn.Module) -> LARC:
        keys: dict[str, Any] = {"momentum": MOMENTUM, "weight_decay": DECAY, "trust_coefficient": TRUST, "eps": 0.0}
        return LARC(model.parameters(), 1.0, **keys, clip=clip, nesterov=nesterov)

    assert furthest(stepped(build), by_hand(move)) < 1e-14


@pytest.mark.parametrize("clip", [True, False])
def test_it_equals_timms_also_where_the_rate_changes(clip: bool) -> None:
    from timm.optim.lars import Lars

    def ours(model: torch.nn.Module) -> LARC:
        keys: dict[str, Any] = {"momentum": MOMENTUM, "weight_decay": DECAY, "trust_coefficient": TRUST}
        return LARC(model.parameters(), 1.0, **keys, clip=clip)

    def timms(model: torch.nn.Module) -> torch.optim.Optimizer:
        return Lars(split(model, DECAY), 1.0, momentum=MOMENTUM, trust_coeff=TRUST, trust_clip=clip)

    assert furthest(stepped(ours), stepped(timms)) < 1e-14


def test_without_clip_it_is_lars_at_one_rate() -> None:
    keys: dict[str, Any] = {"momentum": MOMENTUM, "weight_decay": DECAY, "trust_coefficient": TRUST}
    larc = stepped(lambda model: LARC(model.parameters(), 1.0, **keys, clip=False), (0.3,) * 4)
    assert furthest(larc, stepped(lambda model: LARS(model.parameters(), 1.0, **keys), (0.3,) * 4)) < 1e-14


def test_clipping_at_a_rate_of_zero_moves_nothing() -> None:
    still = stepped(lambda model: LARC(model.parameters(), 1.0), (0.0,))
    assert furthest(still, stepped(lambda model: LARC(model.parameters(), 1.0), ())) == 0
