"""The run: everything that changes while training. A checkpoint is its image."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.clock import Cursor
from fewer.core.errors import CheckpointError
from fewer.core.ledger import Ledger
from fewer.core.protocols import Average, Comm, Sync
from fewer.core.types import State, Worker
from fewer.plan.plan import Plan
from fewer.select.epoch import EpochSelection
from fewer.sync.batchnorm import SharedStatistics, shared_statistics
from fewer.sync.comm import unbooked
from fewer.sync.gathering import gathered
from fewer.training.compile import Compiler
from fewer.training.workers import load_worker, worker_state

if TYPE_CHECKING:
    from torch import nn


ACCUMULATE = "train.accumulate"


class OtherWorkersError(CheckpointError):
    """A run has another number of workers than its checkpoint, and each has weights of its own."""


@dataclass
class Validation:
    """What validations have shown so far.

    Attributes:
        best: The best one: metric, its value, epoch, and the model that was published of it.
        patience: What early stopping goes by: the best value, after how many epochs, and the ending once it has begun.
    """

    best: dict[str, Any] = field(default_factory=dict)
    patience: dict[str, Any] = field(default_factory=dict)


@dataclass
class Changes:
    """What became of the plan on the way.

    Attributes:
        amendments: What of it had to change: key to {"old", "new", "reason"}.
        steered: With a budget of time: the seconds that were spent behind the last epoch.
    """

    amendments: dict[str, dict[str, str]] = field(default_factory=dict)
    steered: dict[str, float] = field(default_factory=dict)


@dataclass
class Run:
    """The only mutable thing of a run.

    Attributes:
        plan: The plan, with its amendments.
        comm: The exchange between processes.
        workers: The replicas of this process.
        sync: How all workers agree.
        selection: Which samples count, and what is known of them.
        ledger: What was spent.
        averages: Averages of the weights, by name, where asked.
        compiler: Compiles the forwards, where asked.
        cursor: Where the run stands.
        stop_requested: Set from outside (signals); all processes leave after the same batch.
        validation: What validations have shown so far.
        changes: What became of the plan on the way.
    """

    plan: Plan
    comm: Comm
    workers: Sequence[Worker]
    sync: Sync
    selection: EpochSelection
    ledger: Ledger
    averages: dict[str, Average] = field(default_factory=dict)
    compiler: Compiler | None = None
    cursor: Cursor = field(default_factory=Cursor)
    stop_requested: bool = False
    validation: Validation = field(default_factory=Validation)
    changes: Changes = field(default_factory=Changes)

    @property
    def amendments(self) -> dict[str, dict[str, str]]:
        """What of the plan had to change on the way: key to {"old", "new", "reason"}."""
        return self.changes.amendments

    @property
    def seed(self) -> int:
        return self.plan.recipe.train.seed

    @property
    def data_seed(self) -> int:
        return self.plan.recipe.train.seed_of_data

    @property
    def micro_batches(self) -> int:
        """Parts that the batch of a step is cut into: as the recipe has it, or as many as memory has asked for."""
        amended = self.amendments.get(ACCUMULATE)
        return int(amended["new"]) if amended else self.plan.recipe.train.accumulate

    @property
    def device(self) -> torch.device:
        return next(self.workers[0].model.parameters()).device

    @property
    def renews_statistics(self) -> bool:
        """Whether what is evaluated now are averaged weights that the model's running statistics do not fit."""
        return any(getattr(average, "renews_statistics", False) for average in self.averages.values())

    @property
    def steps_alike(self) -> bool:
        """Whether all workers take or skip each step alike: they hold the same weights, or there is one."""
        return self.sync.keeps_equal or self.sync.workers == 1

    @property
    def statistics(self) -> SharedStatistics | None:
        """What BatchNorm layers exchange by, where processes share their statistics."""
        return shared_statistics(self.workers[0].model) if self.comm.world_size > 1 else None

    def raw_model(self) -> nn.Module:
        """A copy of the model that the workers agree on, in eval mode, without averaging."""
        return copy.deepcopy(self.sync.consensus(self.workers)).eval()

    def evaluated_model(self) -> nn.Module:
        """A copy of what would be published now: the averaged weights where there are any."""
        model = self.raw_model()
        for average in self.averages.values():
            average.load_into(model)
        return model

    def follow(self, agreed: int, progress: float) -> None:
        """Lets averages of the weights follow; `agreed` samples since all workers last held the same weights."""
        for average in self.averages.values() if agreed else ():
            average.update([worker.model for worker in self.workers], agreed, self.cursor.step, progress)

    def state_dict(self) -> State:
        """All state, nested; every process must call it, as processes exchange what they have observed."""
        self.selection.observations.gather(self.comm)
        mine = [worker_state(worker) for worker in self.workers]
        with unbooked(self.comm):  # on machines of their own, each writes what it has
            # Workers that stay equal are saved once.
            states = mine[:1] if self.sync.keeps_equal else gathered(mine, self.comm)
            of_sync = self.sync.state_dict()
            ledger = self.comm.gather(torch.tensor([self.ledger.local()], device=self.device)).tolist()
        steered = self.changes.steered
        return {
            "cursor": self.cursor.state_dict(),
            "workers": {str(number): state for number, state in enumerate(states)},
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "selection": self.selection.state_dict(),
            "sync": of_sync,
            "compiler": self.compiler.state_dict() if self.compiler else {},
            "ledger": {**self.ledger.state_dict(), "local": ledger},
            "amendments": dict(self.amendments),
            "best": dict(self.validation.best),
            "epochs": self.plan.recipe.epochs,
            **({"steered": {**steered, "saved": self.ledger.total_seconds}} if steered else {}),
            **({"course": asdict(self.plan.course)} if self.plan.course else {}),
            **({"patience": dict(self.validation.patience)} if self.validation.patience else {}),
        }

    def load_state_dict(self, state: State) -> None:
        """Puts back what `state_dict` gave, also in the form that version 0.1 wrote."""
        state = _upgraded(state)
        self.cursor.load_state_dict(state["cursor"])
        saved = _saved_workers(state["workers"], self.sync)
        for worker in self.workers:
            load_worker(worker, saved[worker.id])
        for name, average in self.averages.items():
            average.load_state_dict(state["averages"][name], self.workers[0].model)
        self.selection.load_state_dict(state["selection"])
        for worker in self.workers:
            worker.held = None
        self.sync.load_state_dict(state["sync"])
        if self.compiler:
            self.compiler.load_state_dict(state["compiler"])
        self.ledger.load_state_dict(state["ledger"])
        for rank, rows in enumerate(state["ledger"]["local"]):
            # Each process goes on with its own counts; process 0 keeps those of processes that are no more.
            if rank == self.comm.rank or (self.comm.rank == 0 and rank >= self.comm.world_size):
                self.ledger.add_local(rows)
        self.amendments.clear()
        self.amendments.update(state.get("amendments", {}))
        self.validation.best = dict(state["best"])
        self.validation.patience = dict(state.get("patience", {}))
        self.changes.steered = dict(state.get("steered", {}))

    def digest(self) -> str:
        """Hash of the whole state but best metric, evaluation counts, seconds, memory and what else the machine did."""
        state = self.state_dict()
        del state["best"], state["epochs"]
        state.pop("steered", None)
        state["ledger"] = state["ledger"]["exact"]
        return state_digest(state)


def _saved_workers(states: State, sync: Sync) -> list[State]:
    """The saved state of each worker of the run; workers that stay equal are saved once, for any number of them."""
    if len(states) == sync.workers:
        return [states[str(id)] for id in range(sync.workers)]
    if not sync.keeps_equal:
        raise OtherWorkersError(
            f"the checkpoint holds {len(states)} workers with weights of their own, and the run has {sync.workers}; "
            f"resume with --devices {len(states)}, or on a number of processes that divides it, which simulate them, "
            f"with sync.workers={len(states)}"
        )
    return [states["0"]] * sync.workers


def _upgraded(state: State) -> State:
    """A state in today's form: version 0.1 kept the selection's parts, averages and one scaler side by side."""
    if "selection" in state:
        return state
    names = ("table", "selector", "order", "packer", "packed", "observed")
    (worker,) = state["workers"].values()
    return {
        **state,
        "workers": {"0": {**worker, "scaler": state.get("scaler", {})}},
        "averages": {name: state[name] for name in ("ema", "lookahead")},
        "selection": {name: state[name] for name in names},
        "sync": {},
        "compiler": state["sync"],
    }


def state_digest(state: State) -> str:
    """SHA-256 of nested state: names, dtypes, shapes, bytes."""
    hasher = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                add(f"{name}.{key}", value[key])
        elif isinstance(value, torch.Tensor):
            hasher.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
            hasher.update(
                value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
            )
        else:
            hasher.update(f"{name}:{value!r}".encode())

    add("run", state)
    return hasher.hexdigest()
