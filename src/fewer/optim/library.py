"""Optimizers of torch and of timm by name, such as "torch:RMSprop" and "timm:lion".

A name is looked up in the library's own list, never imported by path, and arguments are plain values, so that a recipe
from anywhere can do no more than choose. Before a run begins, a tiny net takes some steps with the optimizer: what
cannot be built, steps, or goes through a checkpoint by names is refused then, with what the library says.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, final

from pydantic import Field

from fewer.core.config import Section
from fewer.core.messages import nearest, written

if TYPE_CHECKING:
    import torch

LIBRARIES = ("torch", "timm")
_GIVEN = {"params": "train.lr", "lr": "train.lr", "weight_decay": "train.weight_decay"}  # what says it in a recipe
_MOMENTUM = 0.9  # of timm's optimizers that have one, as in timm's own scripts
_STEPS = 2

_Number = bool | int | float
Plain = Annotated[_Number | str | tuple[_Number, ...], Field(union_mode="smart")]


class LibraryParams(Section):
    optimizer_args: dict[str, Plain] = Field(default_factory=dict)
    """Further arguments of the optimizer, as its library calls them: `{ betas = [0.9, 0.99], amsgrad = true }`."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        named: str = getattr(self, "optimizer", "")
        problem = LibraryOptimizer(named).problem(self.optimizer_args)
        if problem:
            return {"optimizer_args" if self.optimizer_args else "optimizer": f": {problem}"}
        if getattr(self, "cycle_momentum", "off") != "off" and not _has_momentum(named, self.optimizer_args):
            return {"cycle_momentum": f'has no effect with "{named}", which has no momentum; set it to "off"'}
        if getattr(self, "schedule_free", "off") != "off" and _momentum(named, self.optimizer_args):
            fix = "optimizer_args = { momentum = 0.0 }, or betas whose first is 0.0"
            return {"schedule_free": f'takes the place of momentum, which "{named}" has; set {fix}'}
        return {}


@final
class LibraryOptimizer:
    """One optimizer of a library, as a file of `fewer.optim.methods` describes one.

    Args:
        name: `LIBRARY:NAME`.

    Raises:
        KeyError: There is no such optimizer, or the library is not installed; the message names the nearest.
    """

    Params = LibraryParams

    def __init__(self, name: str) -> None:
        self.library, _, self.name = name.partition(":")
        if self.name not in names(self.library):
            raise KeyError(f'no optimizer "{name}"; {hint(name)}')
        self.__doc__ = f"`{self.name}` of {self.library}.\n\nSee the library's own pages."

    def build(self, params: LibraryParams, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return self.made(groups, params.optimizer_args)

    def made(self, groups: list[dict[str, Any]], given: Mapping[str, Any]) -> torch.optim.Optimizer:
        """The optimizer over groups of parameters, with further arguments."""
        arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        if self.library == "timm" and "momentum" in self._accepted:
            arguments.setdefault("momentum", _MOMENTUM)
        made: torch.optim.Optimizer = self._factory(groups, lr=groups[0]["lr"], **arguments)
        return made

    @cached_property
    def _factory(self) -> Callable[..., Any]:
        if self.library == "torch":
            import torch

            found: Callable[..., Any] = getattr(torch.optim, self.name)
            return found
        from timm.optim import _optim_factory as timms  # where it is defined

        bound: Callable[..., Any] = timms.get_optimizer_class(self.name, bind_defaults=True)
        return bound

    @cached_property
    def _accepted(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self._factory).parameters)

    def problem(self, given: Mapping[str, Any]) -> str:
        """What is wrong with this optimizer or with its arguments, with a fix; empty where nothing is."""
        for key in given:
            if key in _GIVEN:
                return f'"{key}" is given by {_GIVEN[key]}; leave it out here'
            if key not in self._accepted:
                return f'"{self.name}" takes no "{key}"; {nearest(key, [k for k in self._accepted if k not in _GIVEN])}'
        shown = ", ".join(f"{key} = {written(value)}" for key, value in given.items())
        try:
            resumes = self._resumes(given)
        except Exception as error:  # libraries raise whatever they like
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            return f'{self.library} refuses "{self.name}"{f" with {shown}" if shown else ""}: {reason}; use another'
        if not resumes:
            return f'"{self.name}" keeps state that a checkpoint by names does not hold; use another'
        return ""

    def _resumes(self, given: Mapping[str, Any]) -> bool:
        """Whether one that was saved and loaded by names steps on as one that was not, on a tiny net."""
        import torch

        from fewer.optim.groups import load_optimizer_state, optimizer_state

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (model, optimizer), (other, twin) = self._begun(given), self._begun(given)
            _step(model, optimizer)
            other.load_state_dict(model.state_dict())
            load_optimizer_state(twin, {key: value.clone() for key, value in optimizer_state(optimizer).items()})
            _step(model, optimizer)
            try:
                _step(other, twin)
            except KeyError:  # of what it has made in its first step, and keeps elsewhere
                return False
        return all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))

    def _begun(self, given: Mapping[str, Any]) -> tuple[Any, torch.optim.Optimizer]:
        import torch
        from torch import nn

        from fewer.optim.groups import parameter_groups

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
        return model, self.made(parameter_groups(model, 0.01, {"weight": 0.01}, {}), given)


def names(library: str) -> list[str]:
    """The optimizers that a library lists; none where it is another than torch and timm, or not installed."""
    if library == "torch":
        import torch

        found = {name: each for name, each in vars(torch.optim).items() if isinstance(each, type)}
        is_one = torch.optim.Optimizer
        return sorted(name for name, each in found.items() if issubclass(each, is_one) and each is not is_one)
    if library == "timm":
        try:
            from timm.optim import _optim_factory as timms
        except ImportError:
            return []
        return sorted(map(str, timms.list_optimizers()))
    return []


def hint(name: str) -> str:
    """What to do about a name `LIBRARY:NAME` that is none."""
    library, _, _ = name.partition(":")
    if library not in LIBRARIES:
        return f'before the colon, "{LIBRARIES[0]}" and "{LIBRARIES[1]}" are allowed'
    known = [f"{library}:{each}" for each in names(library)]
    return nearest(name, known) if known else f"{library} is not installed; pip install {library}"


def _has_momentum(name: str, given: Mapping[str, Any]) -> bool:
    _, optimizer = LibraryOptimizer(name)._begun(given)
    return all("betas" in group or "momentum" in group for group in optimizer.param_groups)


def _momentum(name: str, given: Mapping[str, Any]) -> float:
    """The momentum of an optimizer, or its first beta; 0 for one without."""
    from fewer.optim.groups import momentum_of

    return momentum_of(LibraryOptimizer(name)._begun(given)[1])


def _step(model: Any, optimizer: torch.optim.Optimizer) -> None:
    import torch

    optimizer.zero_grad()
    images = torch.linspace(-1, 1, 4 * 48).view(4, 3, 4, 4)
    torch.nn.functional.cross_entropy(model(images), torch.arange(4) % 3).backward()
    for _ in range(_STEPS):
        optimizer.step()
