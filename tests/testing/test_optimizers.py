"""The conformance kit of optimizers: ours pass, and each broken promise is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fewer.core.sections import section_of
from fewer.optim import OPTIMIZERS, TrainParams
from fewer.testing import Violation, check_optimizer


@pytest.mark.parametrize(
    ("name", "keys"), [(n, keys) for n in OPTIMIZERS.names() for keys in OPTIMIZERS.module(n).EXAMPLES]
)
def test_ours_keep_all_promises(name: str, keys: dict[str, Any]) -> None:
    own = {key: value for key, value in keys.items() if key in OPTIMIZERS.params(name).model_fields}
    params = section_of(TrainParams, optimizer=name, **own)
    check_optimizer(lambda groups: OPTIMIZERS.module(name).build(params, groups))


class Rule(torch.optim.Optimizer):
    """SGD with momentum by hand, to be broken in one place at a time."""

    def __init__(self, groups: Any) -> None:
        super().__init__(groups, {"momentum": 0.9, "lr": 0.01, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, group)

    def move(self, parameter: Any, group: Any) -> None:
        state = self.state[parameter]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(parameter)
        state["mean"].mul_(group["momentum"]).add_(parameter.grad + group["weight_decay"] * parameter)
        parameter.sub_(group["lr"] * state["mean"])


def decaying(self: Any, parameter: Any, group: Any) -> None:
    parameter.mul_(0.999)
    Rule.move(self, parameter, group)


def constant(self: Any, parameter: Any, group: Any) -> None:
    parameter.sub_((0.01 if group["lr"] else 0.0) * parameter.grad)


def rising(self: Any, parameter: Any, group: Any) -> None:
    parameter.add_(group["lr"] * parameter.grad)


def relaid(self: Any, parameter: Any, group: Any) -> None:
    parameter.data = (parameter - group["lr"] * parameter.grad).contiguous()


def forgetful(self: Any, parameter: Any, group: Any) -> None:
    self.steps = getattr(self, "steps", 0) + 1
    parameter.sub_(group["lr"] / (1 + 0.1 * (self.steps // 6)) * parameter.grad)


def by_group(self: Any, parameter: Any, group: Any) -> None:
    parameter.sub_(group["lr"] / len(group["params"]) * parameter.grad)


def greedy(self: Any, closure: Any = None) -> None:
    with torch.no_grad():
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = torch.ones_like(parameter) if parameter.grad is None else parameter.grad
                parameter.sub_(group["lr"] * gradient)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "rate": ({"move": decaying}, "a learning rate of zero moves nothing"),
    "half": ({"move": constant}, "half the rate moves the first step half as far"),
    "frozen": ({"step": greedy}, "a parameter without a gradient stays"),
    "rising": ({"move": rising}, "steps lower the loss"),
    "layout": ({"move": relaid}, "types and memory layout stay"),
    "groups": ({"move": by_group}, "groups of equal settings are stepped on as one"),
    "state": ({"move": forgetful}, "saved and loaded steps on bit for bit"),
    "raising": ({"move": lambda self, parameter, group: 1 / 0}, "step raised ZeroDivisionError"),
}


def test_the_rule_by_hand_keeps_all_promises() -> None:
    check_optimizer(Rule)


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_promise_is_named(name: str) -> None:
    changes, message = BROKEN[name]
    with pytest.raises(Violation, match=message):
        check_optimizer(type("Broken", (Rule,), changes))


def test_one_without_momentum_is_named() -> None:
    build: Callable[..., torch.optim.Optimizer] = lambda groups: torch.optim.Adagrad(groups, lr=0.01)  # noqa: E731
    with pytest.raises(Violation, match="every group has momentum or betas; it was set to"):
        check_optimizer(build)
