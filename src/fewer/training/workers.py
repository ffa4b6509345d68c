"""The state of a worker: model, optimizer and loss scaler."""

from __future__ import annotations

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
