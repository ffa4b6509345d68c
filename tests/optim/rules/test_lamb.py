"""LAMB: against its paper's algorithm by hand, and against timm's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fewer.optim import LAMB
from rule_steps import RATES, backward, furthest, net, split, stepped

FIRST, SECOND, EPS, DECAY = 0.8, 0.95, 1e-6, 0.05


def loop_by_hand(clip_norm: float | None, trust_clip: bool, bias_correction: bool) -> dict[str, Tensor]:
    """Algorithm 2 of You et al. 2019, over all tensors, as the clipping looks at all of them."""
    model = net()
    means, squares = ([torch.zeros_like(p) for p in model.parameters()] for _ in range(2))
    for t, lr in enumerate(RATES, start=1):
        backward(model)
        norm = sum(float(p.grad.pow(2).sum()) for p in model.parameters() if p.grad is not None) ** 0.5
        shrink = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
        with torch.no_grad():
            for p, m, v in zip(model.parameters(), means, squares, strict=True):
                assert p.grad is not None
                g = p.grad * shrink
                m.copy_(FIRST * m + (1 - FIRST) * g)
                v.copy_(SECOND * v + (1 - SECOND) * g * g)
                correct = (1 - FIRST**t, 1 - SECOND**t) if bias_correction else (1.0, 1.0)
                u = (m / correct[0]) / ((v / correct[1]).sqrt() + EPS)
                ratio = 1.0
                if p.dim() > 1:
                    u = u + DECAY * p
                    weight, update = float(p.norm()), float(u.norm())
                    ratio = weight / update if weight > 0 and update > 0 else 1.0
                    ratio = min(ratio, 1.0) if trust_clip else ratio
                p.sub_(lr * ratio * u)
    return {name: value.detach() for name, value in model.named_parameters()}


FORMS: dict[str, dict[str, Any]] = {
    "paper": {"clip_norm": None, "trust_clip": False, "bias_correction": True},
    "NVLAMB": {"clip_norm": 0.5, "trust_clip": False, "bias_correction": True},
    "LAMBC": {"clip_norm": None, "trust_clip": True, "bias_correction": True},
    "uncorrected": {"clip_norm": 0.5, "trust_clip": False, "bias_correction": False},
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_equals_the_algorithm_by_hand_and_timms(form: str) -> None:
    from timm.optim.lamb import Lamb

    keys = FORMS[form]

    def ours(model: torch.nn.Module) -> LAMB:
        return LAMB(model.parameters(), 1.0, (FIRST, SECOND), EPS, DECAY, **keys)

    def timms(model: torch.nn.Module) -> torch.optim.Optimizer:
        others = {"trust_clip": keys["trust_clip"], "bias_correction": keys["bias_correction"]}
        betas = (FIRST, SECOND)
        return Lamb(split(model, DECAY), 1.0, betas=betas, eps=EPS, max_grad_norm=keys["clip_norm"], **others)

    found = stepped(ours)
    assert furthest(found, loop_by_hand(**keys)) < 1e-10
    assert furthest(found, stepped(timms)) < 1e-10


def test_a_layer_that_thaws_later_corrects_its_means_for_its_own_steps() -> None:
    model = net()
    optimizer = LAMB(model.parameters(), 0.1, foreach=True)
    for step in range(3):
        backward(model)
        if step < 2:
            model[3].weight.grad = None
        optimizer.step()
    alone = net()
    alone.load_state_dict(model.state_dict())
    late, early = (optimizer.state[model[at].weight]["step"] for at in (3, 0))
    assert (float(late), float(early)) == (1, 3)
    assert torch.allclose(optimizer.state[model[3].weight]["exp_avg"], 0.1 * model[3].weight.grad)
