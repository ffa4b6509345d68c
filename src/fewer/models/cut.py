"""Cuts of a net behind what is frozen, before its head or inside: what comes there can be kept and used again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fewer.core.types import Forward, first
from fewer.models.matching import heads

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Cut:
    """A place where all that the rest of a net needs is one tensor.

    Attributes:
        head: Name of the head, where the cut is before it; "" for a cut further inside.
        features: Shape of that tensor for one image.
        passed: Modules before a cut further inside, in the order in which they run: the last one gives the tensor.
    """

    head: str
    features: tuple[int, ...]
    passed: tuple[str, ...] = ()

    def rest(self, model: nn.Module) -> Forward:
        """The forward of the rest of the net, from features to the output."""
        return _Rest(model, self.passed) if self.passed else model.get_submodule(self.head)


class _Rest:
    """The forward of a net whose first modules give what they are given."""

    def __init__(self, model: nn.Module, passed: Collection[str]) -> None:
        self._model, self._passed = model, [model.get_submodule(name) for name in passed]

    def __call__(self, features: Tensor) -> Any:
        with _passing(self._passed):
            return self._model(features)


@contextmanager
def _passing(modules: Collection[nn.Module]) -> Iterator[None]:
    """Has modules give what they are given, for a while."""
    for module in modules:
        module.__dict__["forward"] = _same
    try:
        yield
    finally:
        for module in modules:
            del module.__dict__["forward"]


def _same(given: Any, *_: object, **__: object) -> Any:
    return given


def cut_before_head(model: nn.Module, classes: int, forward: Callable[[], Any]) -> Cut | None:
    """Where the net can be cut before its head; None where more than one path leads around it.

    Args:
        model: The net.
        classes: Number of classes, by which its head is known.
        forward: Runs the net once, with a batch of anything.
    """
    names = heads(model, classes)
    if len(names) != 1:
        return None
    taken, given, whole = list[Any](), list[Any](), list[Any]()

    def passes(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        taken.extend(inputs)
        given.append(output)

    handles = [
        model.get_submodule(names[0]).register_forward_hook(passes),
        model.register_forward_hook(lambda _, __, output: whole.append(first(output))),
    ]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    if len(taken) != 1 or len(whole) != 1 or given[0] is not whole[0]:
        return None
    return Cut(names[0], tuple(taken[0].shape[1:]))


def cut_inside(model: nn.Module, frozen: Collection[str], side_px: int) -> Cut | None:
    """Where a net can be cut behind its frozen layers; None where the rest needs more than one tensor.

    Whether it does is tried: the rest, given what comes there, must give the whole net's output bit for bit, for
    weights and images of chance. Modules without layers that follow what is frozen, such as pooling, belong to it;
    dropout does not.

    Args:
        model: The net, on the processor; its weights are lost.
        frozen: Its frozen layers.
        side_px: Height and width of the images.
    """
    chance = torch.Generator().manual_seed(0)
    model.eval()
    images = torch.rand(2, 3, side_px, side_px, generator=chance)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.dim() == 1:  # norms that are as they were drawn hide what comes before them
                value.copy_(0.5 + torch.rand(value.shape, generator=chance))
        ran, whole = _run(model, images)
        if not isinstance(whole, torch.Tensor):  # a detector's output
            return None
        passed = list[str]()
        for name, _ in ran:
            if [other for other, _ in ran].count(name) > 1 or not _belongs(model.get_submodule(name), name, frozen):
                break
            passed.append(name)
        features = ran[len(passed) - 1][1] if passed else None
        if not any(_layers(name, frozen) for name in passed) or not isinstance(features, torch.Tensor):
            return None
        cut = Cut("", tuple(features.shape[1:]), tuple(passed))
        try:
            again = first(cut.rest(model)(features))
        except (RuntimeError, ValueError, AssertionError, TypeError, IndexError, AttributeError):
            return None
    return cut if torch.equal(again, whole) and bool(whole.isfinite().all()) else None


def _run(model: nn.Module, images: Tensor) -> tuple[list[tuple[str, Any]], Tensor]:
    """What each module gives, in the order in which they run, with the output; sequences are taken apart."""
    ran = list[tuple[str, Any]]()
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: ran.append((name, output)))
        for name, module in _modules(model, "")
    ]
    try:
        return ran, first(model(images))
    finally:
        for handle in handles:
            handle.remove()


def _modules(model: nn.Module, above: str) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_children():
        if isinstance(module, nn.Sequential):
            yield from _modules(module, f"{above}{name}.")
        else:
            yield f"{above}{name}", module


def _belongs(module: nn.Module, name: str, frozen: Collection[str]) -> bool:
    """Whether a module, which follows what is frozen, holds nothing that is trained or drawn."""
    own = [
        f"{name}.{inner}".rstrip(".")
        for inner, each in module.named_modules()
        if any(True for _ in each.parameters(recurse=False))
    ]
    draws = not own and "drop" in type(module).__name__.lower()
    return not draws and all(layer in frozen for layer in own)


def _layers(name: str, frozen: Collection[str]) -> bool:
    return any(layer == name or layer.startswith(f"{name}.") for layer in frozen)


class Features:
    """Takes down what comes where a net is cut, for as long as it is open.

    Args:
        model: The net.
        cut: Where it is cut.
    """

    def __init__(self, model: nn.Module, cut: Cut) -> None:
        self.seen: list[Tensor] = []
        self._handle = (
            model.get_submodule(cut.passed[-1]).register_forward_hook(self._give)
            if cut.passed
            else model.get_submodule(cut.head).register_forward_pre_hook(self._see)
        )

    def __enter__(self) -> list[Tensor]:
        return self.seen

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _see(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.seen.append(inputs[0])

    def _give(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        self.seen.append(output)
