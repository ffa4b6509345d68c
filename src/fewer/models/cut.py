"""The cut before a net's head: what a frozen body gives can be kept there and used again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewer.core.types import first
from fewer.models.matching import heads

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Cut:
    """A head that needs nothing but its input, and gives the net's output.

    Attributes:
        head: Name of the layer.
        features: Shape of its input for one image.
    """

    head: str
    features: tuple[int, ...]


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


class Features:
    """Takes down what reaches a net's head, for as long as it is open.

    Args:
        model: The net.
        cut: Where it is cut.
    """

    def __init__(self, model: nn.Module, cut: Cut) -> None:
        self.seen: list[Tensor] = []
        self._handle = model.get_submodule(cut.head).register_forward_pre_hook(self._see)

    def __enter__(self) -> list[Tensor]:
        return self.seen

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _see(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.seen.append(inputs[0])
