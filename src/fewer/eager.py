"""Keeps torch's compiler out of a process that compiles nothing: importing it takes about as long as torch itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from inspect import unwrap
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

_COMPILER = "torch._dynamo"
_MARK = "__dynamo_disable"  # where torch keeps what it calls in place of a function that the compiler must not enter


@cache
def without_compiler() -> None:
    """Spares optimizers, and shapes without data, the import of torch's compiler.

    torch imports its compiler at the first call of a function that the compiler must not enter. Where it is not
    loaded there is nothing to keep out, so such a function is called as it is. Once anything has loaded the compiler
    torch does as always, and where torch keeps these functions differently, nothing is changed.
    """
    import torch
    from torch import _decomp, _refs
    from torch._compile import _disable_dynamo
    from torch.utils.flop_counter import _FlopCounterMode

    guard = _disable_dynamo(without_compiler).__code__
    roots = [
        _FlopCounterMode.__torch_dispatch__,
        *vars(torch.optim.Optimizer).values(),
        *vars(_refs).values(),
        *vars(_refs.nn.functional).values(),
        *(each for table in _decomp.global_decomposition_table.values() for each in table.values()),
    ]
    for guarded in _functions(roots):
        if guarded.__code__ is guard:
            function = _captured(guarded).get("fn")
            if isinstance(function, FunctionType) and not hasattr(function, _MARK):
                setattr(function, _MARK, _plain(function, guarded))


def step_once(optimizer: Optimizer) -> None:
    """What `optimizer.step()` does; torch's own optimizers import the compiler there only to interrupt its graphs."""
    import torch

    kind = type(optimizer)
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    if _COMPILER in sys.modules or not kind.__module__.startswith("torch.optim.") or any(hooks):
        optimizer.step()
        return
    with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
        unwrap(kind.step)(optimizer)


def _plain(function: FunctionType, guarded: FunctionType) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if _COMPILER not in sys.modules:
            return function(*arguments, **options)
        if getattr(function, _MARK, None) is call:
            delattr(function, _MARK)
        return guarded(*arguments, **options)

    return call


def _functions(roots: Iterable[Any]) -> Iterator[FunctionType]:
    """All functions among the roots and, in turn, among what those hold on to."""
    waiting, seen = [each for each in roots if isinstance(each, FunctionType)], set[int]()
    while waiting:
        function = waiting.pop()
        if id(function) not in seen:
            seen.add(id(function))
            yield function
            waiting += [each for each in _captured(function).values() if isinstance(each, FunctionType)]


def _captured(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a cell that is still empty
            found[name] = cell.cell_contents
    return found
