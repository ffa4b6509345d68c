"""Muon: against torch's on matrices, timm's on filters, and its rule by hand in float64."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewer.optim import Muon
from fewer.optim.groups import parameter_groups
from fewer.optim.rules.newton_schulz import flops, orthogonalised
from rule_steps import RATES, backward, by_hand, furthest, net, stepped

MOMENTUM, DECAY = 0.8, 0.05


def newton_schulz(x: Tensor) -> Tensor:
    """Jordan's iteration on the singular values themselves: it leaves the singular vectors as they are."""
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    values = values / values.norm().clamp(min=1e-7)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ torch.diag(values) @ right


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("other", ["adamw", "sgd"])
def test_it_orthogonalises_matrices_and_filters_and_leaves_others_to_torchs_rules(nesterov: bool, other: str) -> None:
    def move(w: Tensor, g: Tensor, state: dict[str, Tensor], lr: float, is_matrix: bool) -> Tensor:
        if not is_matrix:
            return w
        state["v"] = MOMENTUM * state.get("v", 0 * w) + (1 - MOMENTUM) * g
        u = (1 - MOMENTUM) * g + MOMENTUM * state["v"] if nesterov else state["v"]
        matrix = newton_schulz(u.flatten(1))
        return w - lr * DECAY * w - lr * 0.2 * max(matrix.shape) ** 0.5 * matrix.view_as(w)

    def build(model: nn.Module, matrices_alone: bool = True) -> Any:
        keys: dict[str, Any] = {"momentum": MOMENTUM, "nesterov": nesterov, "weight_decay": DECAY}
        scale = 1e-300 if matrices_alone else 0.5  # so small a rate leaves others as they are
        return Muon(model.parameters(), 0.01, **keys, other_optimizer=other, other_lr_scale=scale)

    rates = tuple(0.01 * rate for rate in RATES)
    assert furthest(stepped(build), by_hand(move, rates)) < 1e-12

    class Both(torch.optim.Optimizer):
        """Muon on matrices beside torch's own rule on the rest."""

        def __init__(self, model: nn.Module) -> None:
            self.muon = build(model)
            rest = [p for p in model.parameters() if p.dim() <= 1]
            settings: dict[str, Any] = {"momentum": MOMENTUM, "nesterov": nesterov, "foreach": False}
            if other == "adamw":
                self.rest: Any = torch.optim.AdamW(rest, 0.005, betas=(0.9, 0.95), weight_decay=0.0)
            else:
                self.rest = torch.optim.SGD(rest, 0.005, **settings)
            self.param_groups = [*self.muon.param_groups[:1], *self.rest.param_groups]

        def step(self, closure: Any = None) -> None:
            self.muon.step()
            self.rest.step()

    assert furthest(stepped(lambda model: build(model, False)), stepped(Both)) < 1e-12


@pytest.mark.parametrize("every", [1, 2])
def test_renormalised_matrices_begin_their_step_with_rows_of_length_one(every: int) -> None:
    """airbench94_muon's order: scale to the root of the outputs, then step; here every second step too."""

    def move(w: Tensor, g: Tensor, state: dict[str, Any], lr: float, is_matrix: bool) -> Tensor:
        if not is_matrix:
            return w
        state["v"] = MOMENTUM * state.get("v", 0 * w) + g
        state["taken"] = state.get("taken", 0) + 1
        if state["taken"] % every == 0:
            w = w * len(w) ** 0.5 / w.norm().clamp(min=1e-7)  # the net has a matrix of zeros
        return w - lr * newton_schulz((g + MOMENTUM * state["v"]).flatten(1)).view_as(w)

    def build(model: nn.Module) -> Any:
        keys: dict[str, Any] = {"momentum": MOMENTUM, "weight_decay": 0.0, "adjust_lr": "original"}
        return Muon(model.parameters(), 0.1, **keys, renormalise_every_steps=every, other_lr_scale=1e-300)

    rates = tuple(0.1 * rate for rate in RATES)
    assert furthest(stepped(build), by_hand(move, rates)) < 1e-12


def test_it_equals_torchs_on_matrices_bit_for_bit() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = nn.Sequential(*(nn.Linear(*shape, bias=False) for shape in ((30, 20), (20, 30), (30, 20), (20, 20))))
    theirs = copy.deepcopy(ours)
    muon = Muon(ours.parameters(), 0.02, adjust_lr="original", dtype=torch.bfloat16)
    for model, optimizer in ((ours, muon), (theirs, torch.optim.Muon(theirs.parameters(), 0.02))):
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.linspace(-1, 1, 60).view(2, 30)).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("adjust_lr", ["original", "match_rms_adamw"])
def test_it_equals_timms_on_filters(adjust_lr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's computes in bfloat16; here it is told to stay in float64."""
    from timm.optim import muon as timms

    in_float64 = partial(timms.zeropower_via_newtonschulz, dtype=torch.float64)
    monkeypatch.setattr(timms, "zeropower_via_newtonschulz", in_float64)

    def matrices(model: nn.Module) -> list[nn.Parameter]:
        return [p for p in model.parameters() if p.dim() > 1]

    def ours(model: nn.Module) -> torch.optim.Optimizer:
        return Muon(matrices(model), 0.02, weight_decay=DECAY, adjust_lr=adjust_lr)

    def theirs(model: nn.Module) -> torch.optim.Optimizer:
        keys: dict[str, Any] = {"ns_coefficients": "original", "adjust_lr_fn": adjust_lr}
        return timms.Muon(matrices(model), lr=0.02, weight_decay=DECAY, nesterov=True, **keys)

    assert furthest(stepped(ours), stepped(theirs)) < 1e-12


def test_a_batch_of_matrices_is_orthogonalised_one_by_one() -> None:
    matrix_NRC = torch.randn(5, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix_NRC *= torch.tensor([1e-3, 1.0, 50.0, 0.0, 1.0]).view(-1, 1, 1)
    together = orthogonalised(matrix_NRC)
    for alone, found in zip(matrix_NRC, together, strict=True):
        assert torch.allclose(orthogonalised(alone[None])[0], found, rtol=1e-12, atol=1e-14)
    values = torch.linalg.svdvals(together[[0, 1, 2, 4]])
    assert bool(((values > 0.3) & (values < 1.3)).all())


def test_the_first_layer_the_head_and_norms_are_left_to_the_other_rule() -> None:
    model = net()
    ends = {"0", "7"}
    optimizer = Muon(parameter_groups(model, 0.01, {"weight": 0.1}, {}, ends=ends), 0.01, other_lr_scale=0.5)
    backward(model)
    optimizer.step()
    hidden = {id(p) for p in (model[3].weight, model[5].weight)}
    assert {id(p) for p, state in optimizer.state.items() if "momentum_buffer" in state} == hidden
    by_kind = {group["kind"]: group for group in optimizer.param_groups}
    assert by_kind["end"]["names"] == ["0.weight", "7.weight"]
    assert (by_kind["weight"]["lr"], by_kind["end"]["lr"], by_kind["norm"]["base_lr"]) == (0.01, 0.005, 0.005)


def test_a_rate_of_zero_renormalises_nothing() -> None:
    """Else layers would move at the very end of a schedule, and while a warm-up stands still."""
    model = net()
    before = [p.detach().clone() for p in model.parameters()]
    backward(model)
    Muon(model.parameters(), 0.0, renormalise_every_steps=1).step()
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_others_may_have_a_momentum_of_their_own() -> None:
    ours, theirs = (nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2))
    sgd = torch.optim.SGD([theirs], 0.1, momentum=0.9, nesterov=True)
    muon = Muon([ours], 0.1, momentum=0.5, other_optimizer="sgd", other_momentum=0.9)
    for step in range(3):
        ours.grad, theirs.grad = (torch.linspace(step, 1, 3, dtype=torch.float64) for _ in range(2))
        muon.step()
        sgd.step()
    assert torch.allclose(ours, theirs, rtol=1e-12)


def test_flops_of_a_step_are_those_of_its_matrix_products() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for shape in ((6, 4, 3, 3), (40, 7)):
        with FlopCounterMode(display=False) as counter:
            orthogonalised(torch.randn(shape).flatten(1)[None])
        assert counter.get_total_flops() == flops(shape)
