"""Optimizer groups and weight averages."""

from __future__ import annotations

import pytest
import torch

from fewer import optim
from fewer.models.cnn import Cnn
from fewer.optim.ema import Ema, Lookahead
from fewer.optim.groups import grouped, load_optimizer_state, optimizer_state, parameter_groups, set_lr

DECAY = {"weight": 0.1, "bias": 0.0, "norm": 0.0}
SCALE = {"weight": 1.0, "bias": 2.0, "norm": 64.0}


def sgd(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    return optim.build("sgd", parameter_groups(model, lr, DECAY, SCALE), lr, {"momentum": 0.9, "nesterov": True})


def test_parameters_fall_into_groups_by_what_they_are() -> None:
    groups = grouped(Cnn(10, width=0.1, whiten=True))
    assert list(groups["bias"]) == ["stem.bias"]
    assert all(name.endswith(".bias") and "norm" in name for name in groups["norm"])
    assert {name.rpartition(".")[2] for name in groups["weight"]} == {"weight"}
    assert not any("stem.weight" in group for group in groups.values()), "frozen for good"


def test_learning_rates_keep_their_ratio() -> None:
    optimizer = sgd(Cnn(10, width=0.1), 0.5)
    set_lr(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.1, 3.2])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0, 0.0]


def test_momentum_comes_back_in_its_layout() -> None:
    """Row-major storage must not change a channels-last model's momentum, or norms would add in another order."""
    model = Cnn(10, width=0.25).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = sgd(model, 0.1)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    saved = {name: value.contiguous() for name, value in optimizer_state(optimizer).items()}
    load_optimizer_state(optimizer, saved)
    for name, value in optimizer_state(optimizer).items():
        assert torch.equal(value, saved[name])
    momentum = optimizer.state[model.block2.conv1.weight]["momentum_buffer"]
    assert momentum.is_contiguous(memory_format=torch.channels_last)


def test_the_averages_half_life_is_counted_in_samples() -> None:
    """Four steps on 25 samples forget as much as one on 100; after a half-life an old weight counts half."""
    start, target = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    small, large, half = Ema(start, 80.0), Ema(start, 80.0), Ema(start, 80.0)
    for _ in range(4):
        small.update(target, 25)
    large.update(target, 100)
    half.update(target, 80)
    for name, value in target.state_dict().items():
        assert torch.allclose(small.average[name], large.average[name])
        assert torch.allclose(half.average[name], (start.state_dict()[name] + value) / 2)


def test_lookahead_pulls_as_airbench_does() -> None:
    """rho = decay^every * progress^power; slow += (1 - rho)(fast - slow); fast = slow."""
    model = torch.nn.Linear(1, 1, bias=False)
    ahead = Lookahead(every_steps=5, decay=0.95, power=3.0, start=0.3)
    torch.nn.init.constant_(model.weight, 1.0)
    ahead.update(model, 5, 0.2)
    assert not ahead.slow, "not before its start"
    ahead.update(model, 10, 0.5)
    torch.nn.init.constant_(model.weight, 3.0)
    ahead.update(model, 12, 0.5)
    assert model.weight.item() == 3.0, "not between pulls"
    ahead.update(model, 15, 0.8)
    rho = 0.95**5 * 0.8**3
    assert model.weight.item() == pytest.approx(3.0 + rho * (1.0 - 3.0))
    torch.nn.init.constant_(model.weight, 9.0)
    ahead.end_epoch(model)
    assert model.weight.item() == pytest.approx(3.0 + rho * (1.0 - 3.0))
