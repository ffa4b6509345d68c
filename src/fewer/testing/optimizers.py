"""The conformance kit of optimizers: it takes some steps with one, and names the promise that it breaks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fewer.optim.groups import (
    load_optimizer_state,
    momentum_of,
    optimizer_state,
    parameter_groups,
    set_lr,
    set_momentum,
)
from fewer.testing.comparing import trying
from fewer.testing.violation import require

if TYPE_CHECKING:
    from torch import Tensor

Build = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
_LR, _DECAY = 0.01, {"weight": 0.01}
_STEPS = 60


def check_optimizer(build: Build) -> None:
    """Raises `Violation`, an AssertionError, at the first promise that an optimizer breaks.

    Checked are

    - every group has a momentum, or betas, that a schedule can move;
    - a learning rate of zero moves nothing, and half the rate moves the first step half as far;
    - a parameter without a gradient stays as it is;
    - steps lower the loss of a small convolutional network, and keep its types and memory layout;
    - parameters in several groups with equal settings are stepped on as in one;
    - state goes through a checkpoint: an optimizer that was saved and loaded by names steps on bit for bit.

    Args:
        build: Builds an optimizer over groups of parameters, as a file's `build` does with its `Params` bound.
    """
    for check in (_has_momentum, _obeys_the_rate, _skips_what_has_no_gradient, _learns, _ignores_grouping, _resumes):
        check(build)


def _has_momentum(build: Build) -> None:
    _, optimizer = _begun(build)
    with trying("reading the momentum"):
        momentum_of(optimizer)
    set_momentum(optimizer, 0.25)
    found = momentum_of(optimizer)
    require(found == 0.25, "every group has momentum or betas", f"it was set to 0.25 and is {found}")


def _obeys_the_rate(build: Build) -> None:
    moved = []
    for factor in (0.0, 0.5, 1.0):
        model, optimizer = _begun(build)
        before = _flat(model)
        set_lr(optimizer, factor)
        _step(model, optimizer)
        moved.append(_flat(model) - before)
    none, half, whole = moved
    require(not bool(none.any()), "a learning rate of zero moves nothing", f"it moved by {float(none.abs().max()):g}")
    near = torch.allclose(2 * half, whole, rtol=1e-3, atol=1e-7)
    require(near, "half the rate moves the first step half as far", "scale the whole step by group['lr']")


def _skips_what_has_no_gradient(build: Build) -> None:
    model, optimizer = _begun(build)
    frozen = model[0].weight
    frozen.requires_grad_(False)
    before = frozen.detach().clone()
    for _ in range(3):
        _step(model, optimizer)
    require(torch.equal(frozen, before), "a parameter without a gradient stays", "skip it where p.grad is None")


def _learns(build: Build) -> None:
    model, optimizer = _begun(build)
    layouts = [(p.dtype, p.stride()) for p in model.parameters()]
    first = _step(model, optimizer)
    for _ in range(_STEPS):
        last = _step(model, optimizer)
    require(last < first, "steps lower the loss", f"{_STEPS} of them took it from {first:.4g} to {last:.4g}")
    kept = layouts == [(p.dtype, p.stride()) for p in model.parameters()]
    require(kept, "types and memory layout stay", "update in place: p.add_(...), not p.data = ...")


def _ignores_grouping(build: Build) -> None:
    ends = []
    for split in (False, True):
        model = _model()
        groups = parameter_groups(model, _LR, dict.fromkeys(("weight", "bias", "norm"), 0.01), {})
        if split:
            each = [(group, *pair) for group in groups for pair in zip(group["params"], group["names"], strict=True)]
            groups = [{**group, "params": [parameter], "names": [name]} for group, parameter, name in each]
        with trying("building it"):
            optimizer = build(groups)
        for _ in range(3):
            _step(model, optimizer)
        ends.append(_flat(model))
    near = torch.allclose(ends[0], ends[1], rtol=1e-5, atol=1e-7)
    require(near, "groups of equal settings are stepped on as one", "keep no sum over a group that changes its step")


def _resumes(build: Build) -> None:
    model, optimizer = _begun(build)
    for _ in range(3):
        _step(model, optimizer)
    other, twin = _begun(build)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    with trying("loading its state"):
        load_optimizer_state(twin, {name: value.clone() for name, value in optimizer_state(optimizer).items()})
    for _ in range(3):
        _step(model, optimizer)
        _step(other, twin)
    equal = torch.equal(_flat(model), _flat(other))
    fix = "keep all that a step depends on as tensors in optimizer.state[parameter]"
    require(equal, "one that was saved and loaded steps on bit for bit", fix)


# --- Helpers -------------------------------------------------------------------------------------------------------


def _model() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    return model.to(memory_format=torch.channels_last)


def _begun(build: Build) -> tuple[Any, torch.optim.Optimizer]:
    model = _model()
    with trying("building it"):
        optimizer = build(parameter_groups(model, _LR, _DECAY, {}))
    return model, optimizer


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """One step on the same eight images; gives the loss before it."""
    noise = torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 3, 4, 4, generator=noise), torch.arange(8) % 3
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    with trying("step"):
        optimizer.step()
    return float(loss.detach())


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])
