"""How far a step moves each layer: by hand, for optimizers of every kind, and without a change of the step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fewer.optim import LARS
from fewer.optim.groups import parameter_groups
from fewer.optim.update_norms import measured_step


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)).double()


def test_norms_of_a_step_of_sgd_are_those_of_its_gradients() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))  # of norm 5
        model[2].weight.zero_()
    model[0].weight.grad = torch.tensor([[0.6, 0.8], [0.0, 0.0]], dtype=torch.float64)  # of norm 1
    model[2].weight.grad = torch.ones(1, 2, dtype=torch.float64)
    model[0].bias.grad = torch.ones(2, dtype=torch.float64)
    found = measured_step(torch.optim.SGD(parameter_groups(model, 0.5, {}, {}), 0.5))
    assert found is not None
    assert found.names == ("0.weight", "2.weight"), "neither biases nor norms"
    assert found.relative() == pytest.approx({"0.weight": 0.5 / 5}), "what was zero has no relative change"


@pytest.mark.parametrize("build", [torch.optim.AdamW, LARS])
def test_a_measured_step_is_the_step(build: type[torch.optim.Optimizer]) -> None:
    model = net()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.1)
    other, start = copy.deepcopy(model), copy.deepcopy(model)
    for parameter, same in zip(model.parameters(), other.parameters(), strict=True):
        assert parameter.grad is not None
        same.grad = parameter.grad.clone()
    first, second = (build(parameter_groups(each, 0.1, {}, {}), lr=0.1) for each in (model, other))
    first.step()
    found = measured_step(second)
    assert found is not None
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, other.state_dict()[name])
        if name in found.names:
            weight = start.state_dict()[name]
            moved = float((parameter - weight).norm() / weight.norm())
            assert found.relative()[name] == pytest.approx(moved, rel=1e-12)


def test_frozen_layers_are_left_out() -> None:
    model = net()
    optimizer = torch.optim.SGD(parameter_groups(model, 0.5, {}, {}), 0.5)
    assert measured_step(optimizer) is None
    model[2].weight.grad = torch.ones(1, 2, dtype=torch.float64)
    found = measured_step(optimizer)
    assert found is not None
    assert list(found.relative()) == ["2.weight"]
