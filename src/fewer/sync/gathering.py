"""States of workers, brought together from all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fewer.core.types import State

if TYPE_CHECKING:
    from fewer.core.protocols import Comm


def gathered(states_L: Sequence[State], comm: Comm) -> list[State]:
    """The states of all workers by id; every process must call it, each with equally many workers.

    Args:
        states_L: The states of this process's workers, equal in names, types and shapes on every process.
        comm: The exchange between processes.
    """
    if comm.world_size == 1:
        return list(states_L)
    per_worker = [_gathered(state, comm) for state in states_L]
    return [slot[process] for process in range(comm.world_size) for slot in per_worker]


def _gathered(value: Any, comm: Comm) -> list[Any]:
    """One value of each process."""
    import torch

    if isinstance(value, dict):
        parts = {name: _gathered(value[name], comm) for name in sorted(value)}
        return [{name: parts[name][process] for name in value} for process in range(comm.world_size)]
    if isinstance(value, torch.Tensor):
        return list(comm.gather(value[None]).unbind(0))
    return [type(value)(number) for number in comm.gather(torch.tensor([value], dtype=torch.float64)).tolist()]
