"""Post-local SGD: gradients are summed at every step until a moment of the run, then workers take local steps.

Lin, Stich, Patel & Jaggi, "Don't Use Large Mini-Batches, Use Local SGD", ICLR 2020. The moment is a share of the run,
or the first step whose learning rate has fallen to `switch_lr` of its highest, such as the first drop of a step
schedule: the step behind it is the first local one.

What it saves: of the later part as much as local SGD. What it costs: less accuracy than local steps from the start, and
in the paper a better one than large batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from fewer.core.clock import Duration
from fewer.core.config import Share, Span
from fewer.core.protocols import Comm
from fewer.core.types import State, SyncPoint, Worker
from fewer.sync.local_params import LocalParams
from fewer.sync.methods.every_step import EveryStep

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.sync.rounds import Rounds

EXAMPLES = [{"every_steps": 2, "switch": "1ep"}, {"every_steps": 3, "switch": "100%", "switch_lr": 0.7}]
REHEARSED = {"switch": "0%"}

_ROUNDING = 1e-9


class Params(LocalParams):
    switch: Span = Duration(50, "%")
    """When local steps begin, at the latest."""
    switch_lr: Share = 0.0
    """They begin behind the first step whose learning rate is at most this share of the highest so far; 0: never by
    the rate."""


def first_steps(params: Params, steps: float, epochs: int) -> int | None:
    """Steps before the moment; see `fewer.sync.methods`."""
    return None if params.switch_lr else math.ceil(params.switch.in_epochs(epochs) / epochs * steps - _ROUNDING)


@final
class PostLocal:
    """Every-step synchronisation, then rounds of local steps.

    Args:
        first: How workers agree before the moment.
        then: How they agree from there on.
        switch: The moment.
        switch_lr: The share of the highest learning rate that is the moment, too; 0: none.
    """

    keeps_equal = False  # a checkpoint holds every worker, before the moment as well

    def __init__(self, first: EveryStep, then: Rounds, switch: Duration, switch_lr: float) -> None:
        self._first, self._then, self._switch, self._switch_lr = first, then, switch, switch_lr
        self.workers, self.local_ids = first.workers, first.local_ids
        self._is_local = switch.value == 0
        self._highest_lr = 0.0

    @property
    def excludes_nonfinite(self) -> bool:
        """As local steps have it; a gradient that is summed spoils all workers."""
        return self._is_local and self._then.excludes_nonfinite

    @property
    def _now(self) -> EveryStep | Rounds:
        return self._then if self._is_local else self._first

    def denominator(self, of_all: float, of_worker: float) -> float:
        return self._now.denominator(of_all, of_worker)

    def reduce_totals(self, sums_L: Sequence[Tensor]) -> Tensor:
        return self._now.reduce_totals(sums_L)

    @property
    def is_exchanging(self) -> bool:
        return self._now.is_exchanging

    def begin_backward(self, workers: Sequence[Worker], is_last: bool) -> None:
        self._now.begin_backward(workers, is_last)

    def end_backward(self, workers: Sequence[Worker]) -> None:
        self._now.end_backward(workers)

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        self._now.sync_gradients(workers)

    def sync_buffers(self, workers: Sequence[Worker]) -> None:
        self._now.sync_buffers(workers)

    def sync_parameters(self, workers: Sequence[Worker], at: SyncPoint) -> int:
        agreed = self._now.sync_parameters(workers, at)
        self._highest_lr = max(self._highest_lr, at.lr)
        has_come = at.progress >= self._switch.in_epochs(at.epochs) / at.epochs - _ROUNDING
        has_fallen = at.lr <= self._switch_lr * self._highest_lr * (1 + _ROUNDING) and self._switch_lr > 0
        self._is_local = self._is_local or has_come or has_fallen
        return agreed

    def finish(self, workers: Sequence[Worker]) -> int:
        return self._now.finish(workers)

    def take_report(self) -> Mapping[str, float]:
        return self._now.take_report()

    def consensus(self, workers: Sequence[Worker]) -> nn.Module:
        return self._now.consensus(workers)

    def require_equal(self, workers: Sequence[Worker], digests_L: Sequence[int]) -> None:
        self._now.require_equal(workers, digests_L)

    def state_dict(self) -> State:
        return {"is_local": self._is_local, "highest_lr": self._highest_lr, "rounds": self._then.state_dict()}

    def load_state_dict(self, state: State) -> None:
        self._is_local, self._highest_lr = state["is_local"], state["highest_lr"]
        self._then.load_state_dict(state["rounds"])


def build(params: Params, comm: Comm, workers: int | None) -> PostLocal:
    from fewer.sync.rounds import build_rounds

    return PostLocal(EveryStep(comm, workers), build_rounds(params, comm, workers), params.switch, params.switch_lr)
