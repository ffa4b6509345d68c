"""The base of sync methods: whose workers are where, totals, and hooks that do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fewer.core.protocols import Comm
from fewer.core.types import State, SyncPoint, Worker

if TYPE_CHECKING:
    from torch import Tensor, nn


def at_least_one(count: Any) -> Any:
    """A number of samples or losses to divide by, which may lie on the device; of no losses the sum is 0."""
    return max(1.0, count) if isinstance(count, (int, float)) else count.clamp(min=1.0)


class BaseSync:
    """What most sync methods have in common; a method says its denominator and overrides what it does.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run, a multiple of the number of processes; as many as processes, if left out.
    """

    keeps_equal = False
    excludes_nonfinite = False

    @property
    def is_exchanging(self) -> bool:
        return False

    def __init__(self, comm: Comm, workers: int | None = None) -> None:
        self.comm, self.workers = comm, workers or comm.world_size
        each = self.workers // comm.world_size
        self.local_ids: Sequence[int] = range(comm.rank * each, (comm.rank + 1) * each)

    def reduce_totals(self, sums_L: Sequence[Tensor]) -> Tensor:
        import torch

        total = torch.stack(list(sums_L)).sum(0)
        self.comm.all_reduce(total)
        return total

    def begin_backward(self, workers: Sequence[Worker], is_last: bool) -> None:
        return

    def end_backward(self, workers: Sequence[Worker]) -> None:
        return

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        return

    def sync_buffers(self, workers: Sequence[Worker]) -> None:
        return

    def sync_parameters(self, workers: Sequence[Worker], at: SyncPoint) -> int:
        return at.samples

    def finish(self, workers: Sequence[Worker]) -> int:
        return 0

    def take_report(self) -> Mapping[str, float]:
        return {}

    def consensus(self, workers: Sequence[Worker]) -> nn.Module:
        return workers[0].model

    def require_equal(self, workers: Sequence[Worker], digests_L: Sequence[int]) -> None:
        return

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        return
