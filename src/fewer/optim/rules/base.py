"""The frame of optimizers that treat a layer's matrix as a whole, and its bias and norms in another way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

Group = dict[str, Any]
Tensors = list[Tensor] | tuple[Tensor, ...]

_RATES = ("lr", "base_lr")  # keys of a group that hold a learning rate
_LISTS = ("params", "names")  # keys that hold something for each parameter


class Rule(torch.optim.Optimizer):
    """An optimizer over groups of one kind each: matrices and filters, or anything else.

    A group may say its `kind`, as those of `fewer.optim.groups.parameter_groups` do: "weight" for matrices and filters.
    One that says none is split by dimensions: tensors of two or more are matrices, and the others are not decayed, and
    have a learning rate of their own.

    A step reads no value from the device, leaves `p.grad` as it is, and keeps all that it depends on as tensors in
    `state[p]`. Parameters without a gradient stay.

    Args:
        params: Parameters, or groups of them.
        defaults: Settings of groups that have none of their own; `lr` and `weight_decay` among them.
        excluded_lr_scale: Factor on the learning rate of what is neither matrix nor filter, in groups without a kind.
        foreach: Whether a step does each operation on all tensors together; left out: on all devices but processors,
            whose caches hold one tensor rather than all.

    Attributes:
        last_ratios: The trust ratios of the last step by parameter, each a tensor without dimensions on its device;
            empty for rules without such ratios.
    """

    kept: ClassVar[tuple[str, ...]] = ("_excluded_lr_scale", "_foreach")
    """Attributes that a copy has besides groups and state, which are all that torch copies."""

    def __init__(
        self, params: Any, defaults: dict[str, Any], excluded_lr_scale: float = 1.0, foreach: bool | None = None
    ) -> None:
        require("excluded_lr_scale", excluded_lr_scale, above=0)
        require("lr", defaults["lr"])
        require("weight_decay", defaults["weight_decay"])
        self._excluded_lr_scale, self._foreach = excluded_lr_scale, foreach
        self.last_ratios: dict[Tensor, Tensor] = {}
        super().__init__(params, defaults)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self.kept}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.last_ratios = {}

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group; one that says no `kind` becomes up to two: matrices, and anything else."""
        params = param_group["params"]
        listed = [params] if isinstance(params, Tensor) else list(params)
        for part in self.parts({**param_group, "params": listed}):
            if part["params"]:
                super().add_param_group(part)

    def parts(self, group: Group) -> list[Group]:
        """The groups of one kind each that a group becomes."""
        if "kind" in group:
            return [group]
        is_matrix = [_tensor(each).dim() > 1 for each in group["params"]]
        excluded = {**self.rescaled(group, self._excluded_lr_scale), "weight_decay": 0.0, "kind": "other"}
        return [subset({**group, "kind": "weight"}, is_matrix), subset(excluded, [not each for each in is_matrix])]

    def rescaled(self, group: Group, factor: float) -> Group:
        """A group with another learning rate."""
        return {"lr": self.defaults["lr"] * factor, **group, **{k: group[k] * factor for k in _RATES if k in group}}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what `closure` gives, where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.last_ratios = {}
        self.begin()
        for group in self.param_groups:
            self.step_group(group)
        return loss

    def begin(self) -> None:
        """What a step takes from all gradients together, before the first group."""

    def step_group(self, group: Group) -> None:
        """Steps on a group, some tensors at a time."""
        for params in self.chunks(group):
            self.step_on(params, group, group["kind"] == "weight")

    def step_on(self, params: list[Tensor], group: Group, adapts: bool) -> None:
        """Steps on parameters of one device and type, all with a gradient.

        Args:
            params: The parameters.
            group: Their group.
            adapts: They are matrices and filters.
        """
        raise NotImplementedError

    def chunks(self, group: Group) -> Iterator[list[Tensor]]:
        """The parameters of a group that have a gradient: together by device and type, or one by one."""
        together: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse or parameter.is_complex():
                what = "sparse gradients" if parameter.grad.is_sparse else "complex parameters"
                raise RuntimeError(f"{type(self).__name__} takes no {what}; use torch.optim.SGD for those")
            if self._foreach if self._foreach is not None else parameter.device.type != "cpu":
                together.setdefault((parameter.device, parameter.dtype), []).append(parameter)
            else:
                yield [parameter]
        yield from together.values()

    def counted(self, params: list[Tensor]) -> list[tuple[Tensor, int]]:
        """Counts a step for each parameter; gives each beside how many it has taken, this one included."""
        for parameter in params:
            if "step" not in self.state[parameter]:
                # On the CPU, where reading it waits for no device.
                self.state[parameter]["step"] = torch.zeros((), dtype=torch.float32)
        counters = [self.state[parameter]["step"] for parameter in params]
        torch._foreach_add_(counters, 1.0)
        return list(zip(params, map(int, torch.stack(counters).tolist()), strict=True))

    def states(self, params: list[Tensor], name: str) -> list[Tensor]:
        """The tensors of a name in the state of some parameters: zeros in their layout before the first step."""
        for parameter in params:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return [self.state[parameter][name] for parameter in params]


def subset(group: Group, chosen: list[bool]) -> Group:
    """A group of some of a group's parameters, with their names where it has names."""
    return {
        **group,
        **{
            key: [each for each, take in zip(group[key], chosen, strict=True) if take] for key in _LISTS if key in group
        },
    }


def gradients(params: list[Tensor]) -> Tensors:
    """The gradients of parameters that have one."""
    return [parameter.grad for parameter in params if parameter.grad is not None]


def require(name: str, value: Any, above: float | None = None, least: float = 0.0, below: float = math.inf) -> None:
    """Checks that a setting is a number within its bounds.

    Raises:
        ValueError: It is not; the message says what is allowed.
    """
    number = float(value)
    if math.isfinite(number) and number < below and (number >= least if above is None else number > above):
        return
    allowed = f"at least {least:g}" if above is None else f"above {above:g}"
    limit = "" if below == math.inf else f" and below {below:g}"
    raise ValueError(f"{name} = {value!r}: a number {allowed}{limit} is allowed")


def _tensor(item: Any) -> Tensor:
    """A parameter, given alone or with its name."""
    tensor: Tensor = item[1] if isinstance(item, tuple) else item
    return tensor
