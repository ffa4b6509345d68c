"""Abilities that some models, tasks and selectors have beyond what is promised of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fewer.core.observation import Column

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Guesses(Protocol):
    """A task that knows what guessing reaches, so that a run which learns nothing can be told."""

    def guess(self, images_C: Sequence[int]) -> dict[str, float]:
        """The mean `loss` and the step metrics of a model that knows how frequent the classes are, and nothing else."""
        ...


@runtime_checkable
class HasColumns(Protocol):
    """A task that can tell further numbers of each sample, for selection methods that ask for them by name."""

    columns: Mapping[str, Column]
    """By name; each with its `compute`."""


@runtime_checkable
class ChangesByEpoch(Protocol):
    """A model whose set of trained parameters changes during a run."""

    @property
    def changes_at(self) -> list[int]:
        """The epochs at which it changes."""
        ...

    def frozen_in(self, epoch: int) -> Collection[str]:
        """Names of the parameters that it freezes in an epoch."""
        ...


@runtime_checkable
class CompiledInPart(Protocol):
    """A model that takes targets of any shape: what does not depend on them is compiled, the rest runs as it is."""

    def dense(self, image_BCHW: Tensor) -> Any:
        """The part that is compiled."""
        ...

    def finish(self, dense: Any, image_BCHW: Tensor, *targets: Any) -> Any:
        """The model's output, from what `dense` has given for the same images."""
        ...


@runtime_checkable
class LooksAtData(Protocol):
    """A model whose first weights depend on training images."""

    def whiten(self, image_BCHW: Tensor) -> None: ...


@runtime_checkable
class PicksMethod(Protocol):
    """A selector that picks another method on the way."""

    def became(self) -> dict[str, Any]:
        """What it picked, as JSON; empty before.

        Returns:
            `epoch`, from 0, from which on it holds; `reason`, a sentence; and `select`, the picked method's keys that
            are not at their defaults, as in a recipe's `[select]`.
        """
        ...
