"""What all rules have in common: groups, checkpoints, no host synchronisation, refusals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fewer.optim import LAMB, LARC, LARS, Muon
from fewer.optim.groups import load_optimizer_state, optimizer_state, parameter_groups, trust_ratios
from rule_steps import backward, furthest, net, stepped

BUILD: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "lars": lambda params, **keys: LARS(params, 2.0, weight_decay=0.1, **keys),
    "normalised": lambda params, **keys: LARS(params, 2.0, weight_decay=0.1, form="normalised", **keys),
    "larc": lambda params, **keys: LARC(params, 0.1, weight_decay=0.1, nesterov=True, **keys),
    "lamb": lambda params, **keys: LAMB(params, 0.05, clip_norm=1.0, **keys),
    "muon": lambda params, **keys: Muon(params, 0.01, **keys),
    "muon-renormalised": lambda params, **keys: Muon(params, 0.1, renormalise_every_steps=2, **keys),
    "muon-sgd": lambda params, **keys: Muon(params, 0.01, other_optimizer="sgd", **keys),
}
every = pytest.mark.parametrize("build", BUILD.values(), ids=list(BUILD))


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        backward(model)
        optimizer.step()


@every
@pytest.mark.parametrize("by_name", [True, False])
def test_one_that_was_saved_and_loaded_steps_on_bit_for_bit(build: Callable[..., Any], by_name: bool) -> None:
    def begun() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = net(torch.float32).to(memory_format=torch.channels_last)
        return model, build(parameter_groups(model, 0.05, {"weight": 0.1}, {"norm": 0.5}, ends={"0", "7"}))

    (model, optimizer), (other, twin) = begun(), begun()
    trained(model, optimizer, 3)
    other.load_state_dict(model.state_dict())
    if by_name:
        load_optimizer_state(twin, {name: value.clone() for name, value in optimizer_state(optimizer).items()})
    else:
        twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    trained(model, optimizer, 2)
    trained(other, twin, 2)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


@every
def test_a_step_reads_no_value_from_the_device(build: Callable[..., Any]) -> None:
    """On "meta" there are no values: whatever reads one raises."""
    model = net().to("meta")
    optimizer = build(model.parameters())
    for _ in range(2):
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        optimizer.step()
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("name", [name for name in BUILD if "muon" not in name])
def test_all_tensors_together_or_one_by_one_give_the_same(name: str) -> None:
    together, alone = (
        stepped(lambda model, on=on: BUILD[name](model.parameters(), foreach=on)) for on in (True, False)
    )
    assert furthest(together, alone) < 1e-14


@every
def test_what_is_no_matrix_has_a_rate_of_its_own_and_no_decay(build: Callable[..., Any]) -> None:
    model = net()
    optimizer = build(model.named_parameters(), excluded_lr_scale=0.25)
    matrices, others = optimizer.param_groups
    assert (matrices["kind"], others["kind"]) == ("weight", "other")
    assert all(p.dim() > 1 for p in matrices["params"])
    assert len(matrices["params"]) + len(others["params"]) == len(list(model.parameters()))
    assert others["lr"] == matrices["lr"] / 4
    assert others["weight_decay"] == 0


@every
def test_a_step_gives_what_the_closure_gives_and_a_copy_steps_alike(build: Callable[..., Any]) -> None:
    model = net()
    optimizer = build(model.parameters())
    assert optimizer.step(lambda: (backward(model), 1.5)[1]) == 1.5
    other, twin = copy.deepcopy((model, optimizer))
    trained(model, optimizer, 2)
    trained(other, twin, 2)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda p: LARS(p, -1.0), "lr = -1.0: a number at least 0 is allowed"),
        (lambda p: LARS(p, 1.0, momentum=1.0), "momentum = 1.0: a number at least 0 and below 1 is allowed"),
        (lambda p: LARS(p, 1.0, trust_coefficient=0.0), "trust_coefficient = 0.0: a number above 0 is allowed"),
        (lambda p: LARS(p, 1.0, form="plain"), 'form = \'plain\': "paper" or "normalised" is allowed'),
        (lambda p: LAMB(p, float("nan")), "lr = nan"),
        (lambda p: LAMB(p, betas=(0.9, 1.0)), r"betas\[1\] = 1.0"),
        (lambda p: LAMB(p, clip_norm=0.0), "clip_norm = 0.0: a number above 0"),
        (lambda p: Muon(p, newton_schulz_steps=0), "newton_schulz_steps = 0: a number at least 1"),
        (lambda p: Muon(p, other_optimizer="adam"), "other_optimizer = 'adam'"),
        (lambda p: LARC(p, 1.0, excluded_lr_scale=0.0), "excluded_lr_scale = 0.0"),
    ],
)
def test_settings_out_of_bounds_are_refused(build: Callable[..., Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build([nn.Parameter(torch.ones(2, 2))])


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = LARS(table.parameters(), 1.0)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r"LARS takes no sparse gradients; use torch\.optim\.SGD"):
        optimizer.step()


def test_the_last_ratios_are_found_by_name() -> None:
    model = net()
    optimizer = LARS(parameter_groups(model, 2.0, {}, {}), 2.0)
    assert trust_ratios(optimizer) == {}
    backward(model)
    optimizer.step()
    found = trust_ratios(optimizer)
    assert list(found) == ["0.weight", "3.weight", "5.weight", "7.weight"]
    assert found["7.weight"] == 1, "it is zero"
    assert found["3.weight"] == float(optimizer.last_ratios[model[3].weight])
    assert trust_ratios(torch.optim.SGD(parameter_groups(model, 2.0, {}, {}))) == {}
