"""A round of local steps: what happened between two syncs, and what schedules and outer updates promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fewer.core.types import State
from fewer.sync.exchange import Tensors


@dataclass(frozen=True, slots=True)
class Spread:
    """How alike the ways of the workers in a round were, from their squared lengths.

    Attributes:
        signal: Estimate of the squared length of the way that they have in common; may be negative.
        noise: Estimate of the variance of one worker's way about it.
    """

    signal: float
    noise: float


@dataclass(frozen=True, slots=True)
class Round:
    """What lies between two syncs.

    Attributes:
        steps: Its steps on each worker.
        lr: Learning rate of the weights at its last step.
        epochs_past: Epochs that lie behind it.
        samples: Its samples over all workers.
        loss: Their mean training loss.
        spread: How alike the ways of its workers were; None where nobody asked, or there is one worker.
    """

    steps: int
    lr: float
    epochs_past: float
    samples: int
    loss: float
    spread: Spread | None = None


class Schedule(Protocol):
    """How many local steps the next round has."""

    wants_spread: bool
    """Whether `Round.spread` is wanted, which takes a copy of the weights and one number more in each sync."""

    def next(self, ended: Round) -> int:
        """Steps of the round that begins, 1 or more; called right behind a sync, and never changed in between."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class Outer(Protocol):
    """What is done with the workers' mean at a sync."""

    def update(self, anchors: Tensors, means: Tensors, lrs: Mapping[int, float]) -> Tensors:
        """The weights that all workers go on with; the same on every process, as what it is given is.

        Args:
            anchors: The weights at the start of the round, by their places in the model.
            means: The mean of the workers' weights at its end.
            lrs: The learning rate of each parameter at its last step; 0 where no optimizer has it.
        """
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class StatelessSchedule:
    """The base of schedules that look at the last round alone."""

    wants_spread = False

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        return
