"""LARS: against its papers' algorithms by hand, and against timm's where that is the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewer.optim import LARS
from rule_steps import by_hand, furthest, net, split, stepped

MOMENTUM, DECAY, TRUST = 0.8, 0.05, 0.02


def paper(w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, is_matrix: bool) -> Tensor:
    """Algorithm 1 of You, Gitman & Ginsburg 2017; a local rate of 1 where a norm is zero."""
    local, decay = 1.0, DECAY if is_matrix else 0.0
    weight, gradient = float(w.pow(2).sum().sqrt()), float(g.pow(2).sum().sqrt())
    if is_matrix and weight > 0 and gradient > 0:
        local = TRUST * weight / (gradient + DECAY * weight)
    state["v"] = MOMENTUM * state.get("v", 0 * w) + lr * local * (g + decay * w)
    return w - state["v"]


def normalised(w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, is_matrix: bool) -> Tensor:
    """Algorithm 1 of You et al. 2019, with phi(z) = TRUST * z; a ratio of 1 where a norm is zero."""
    decay = DECAY if is_matrix else 0.0
    state["m"] = MOMENTUM * state.get("m", 0 * w) + (1 - MOMENTUM) * (g + decay * w)
    weight, mean = float(w.pow(2).sum().sqrt()), float(state["m"].pow(2).sum().sqrt())
    ratio = TRUST * weight / mean if is_matrix and weight > 0 and mean > 0 else 1.0
    return w - lr * ratio * state["m"]


@pytest.mark.parametrize("form", ["paper", "normalised"])
def test_each_form_is_that_of_its_paper_with_zero_norms_and_changing_rates(form: str) -> None:
    def build(model: torch.nn.Module) -> LARS:
        keys = {"momentum": MOMENTUM, "weight_decay": DECAY, "trust_coefficient": TRUST}
        return LARS(model.parameters(), 1.0, **keys, eps=0.0, form=form)

    assert furthest(stepped(build), by_hand({"paper": paper, "normalised": normalised}[form])) < 1e-14


def test_the_normalised_form_without_momentum_moves_along_the_gradient_by_a_share_of_the_norm() -> None:
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    weight.grad = torch.tensor([[0.0, 200.0]], dtype=torch.float64)
    LARS([weight], 0.5, momentum=0.0, trust_coefficient=0.1, eps=0.0, form="normalised").step()
    assert weight.tolist() == [[3.0, 4.0 - 0.5 * 0.1 * 5.0]]


def test_it_equals_timms_at_one_rate_and_not_where_the_rate_changes() -> None:
    """timm's has the rate outside of the momentum, so that a new rate counts for gradients of before, too."""
    from timm.optim.lars import Lars

    def ours(model: torch.nn.Module) -> LARS:
        return LARS(model.parameters(), 1.0, momentum=MOMENTUM, weight_decay=DECAY)

    def timms(model: torch.nn.Module) -> torch.optim.Optimizer:
        return Lars(split(model, DECAY), 1.0, momentum=MOMENTUM)

    constant = (0.3,) * 5
    assert furthest(stepped(ours, constant), stepped(timms, constant)) < 1e-14
    assert furthest(stepped(ours), stepped(timms)) > 1e-4


def test_the_last_ratios_are_those_of_matrices_by_parameter() -> None:
    model = net()
    optimizer = LARS(model.parameters(), 1.0, weight_decay=DECAY, trust_coefficient=TRUST, eps=0.0)
    filters = model[0].weight
    filters.grad = torch.ones_like(filters)
    weight, gradient = float(filters.detach().norm()), filters.numel() ** 0.5
    optimizer.step()
    assert list(optimizer.last_ratios) == [filters]
    assert float(optimizer.last_ratios[filters]) == pytest.approx(TRUST * weight / (gradient + DECAY * weight))
