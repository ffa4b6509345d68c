"""The state of workers: model, optimizer and loss scaler of each, brought together from all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fewer.core.protocols import Comm
from fewer.core.types import State, Worker
from fewer.optim.groups import load_optimizer_state, optimizer_state


def worker_state(worker: Worker) -> State:
    """All of a worker that a checkpoint holds."""
    return {
        "model": dict(worker.model.state_dict()),
        "optimizer": optimizer_state(worker.optimizer),
        "scaler": worker.scaler.state_dict(),
    }


def load_worker(worker: Worker, state: State) -> None:
    """Puts back what `worker_state` gave."""
    worker.model.load_state_dict(state["model"])
    load_optimizer_state(worker.optimizer, state["optimizer"])
    worker.scaler.load_state_dict(state["scaler"])


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
    if isinstance(value, dict):
        parts = {name: _gathered(value[name], comm) for name in sorted(value)}
        return [{name: parts[name][process] for name in value} for process in range(comm.world_size)]
    if isinstance(value, torch.Tensor):
        return list(comm.gather(value[None]).unbind(0))
    return [type(value)(number) for number in comm.gather(torch.tensor([value], dtype=torch.float64)).tolist()]
