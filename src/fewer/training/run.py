"""Run: everything that changes while training. A checkpoint is its image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import torch

from fewer.core.clock import Cursor
from fewer.core.ledger import Ledger
from fewer.core.protocols import Comm, Selector, Sync
from fewer.core.table import Table
from fewer.core.types import At, Batch, Outcome, Selection, State, Worker
from fewer.optim.averaging.ema import Ema, Lookahead
from fewer.optim.groups import load_optimizer_state, optimizer_state
from fewer.plan.plan import Plan
from fewer.select.packer import Packed, Packer

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(slots=True)
class Order:
    """The samples of the current epoch, shuffled; drawn from scores that may have changed since."""

    samples: Packed
    sizes: list[int]
    """Samples in each candidate batch."""
    step_sizes: list[int]
    """Samples in each step's batch, where all are kept."""
    lr_scale: float
    share: float | None = None
    """What `At.share` is in this epoch."""

    def state_dict(self) -> State:
        sizes = {"sizes": torch.tensor(self.sizes), "step_sizes": torch.tensor(self.step_sizes)}
        return {"samples": self.samples.state_dict(), **sizes, "lr_scale": self.lr_scale, "share": self.share}

    @classmethod
    def from_state(cls, state: State) -> Order:
        sizes, step_sizes = (state[name].tolist() for name in ("sizes", "step_sizes"))
        return cls(Packed.from_state(state["samples"]), sizes, step_sizes, state["lr_scale"], state.get("share"))


@final
class Observed:
    """What this epoch's training steps have said of samples so far; ranks compare notes once an epoch."""

    _NAMES = ("ids", "copy", "loss", "score", "right")

    def __init__(self) -> None:
        self._columns: dict[str, list[Tensor]] = {name: [] for name in self._NAMES}

    def add(self, ids_B: Tensor, copy_B: Tensor, outcome: Outcome) -> None:
        """Notes the losses, scores and correctness of a micro-batch."""
        loss_B = outcome.loss_sum_B.detach() / outcome.count_B.clamp(min=1)
        for name, value in zip(self._NAMES, (ids_B, copy_B, loss_B, outcome.score_B, outcome.right_B), strict=True):
            self._columns[name].append(value.cpu())

    def gathered(self, comm: Comm) -> dict[str, Tensor]:
        """All ranks' notes by name, sorted by sample and copy; the same on every rank."""
        empty = {"ids": torch.int64, "copy": torch.int64, "right": torch.bool}
        local = {
            name: torch.cat(values) if values else torch.empty(0, dtype=empty.get(name, torch.float32))
            for name, values in self._columns.items()
        }
        columns = {
            name: comm.gather([values.double() if values.is_floating_point() else values])
            for name, values in local.items()
        }
        by_copy = torch.argsort(columns["copy"], stable=True)
        order = by_copy[torch.argsort(columns["ids"][by_copy], stable=True)]
        return {name: values[order] for name, values in columns.items()}

    def clear(self) -> None:
        for values in self._columns.values():
            values.clear()

    def load(self, columns: dict[str, Tensor]) -> None:
        self._columns = {name: [columns[name]] for name in self._NAMES}


@dataclass
class Run:
    """The only mutable thing of a run.

    Attributes:
        plan: The plan, with its amendments.
        comm: How processes exchange tensors.
        workers: The replicas of this process.
        selector, sync: The parts that a recipe names.
        pool_ids: Ids of the training images.
        table: What is known of every sample.
        scaler: Scales the loss for float16, and steps unless a gradient has overflowed; idle for other precisions.
        ema, lookahead: Averages of the weights, where asked.
        order: The current epoch's samples; None between epochs.
        packed: Batches that the packer has given out in this epoch.
        held: For each local worker, loaded samples that wait in the packer. Not saved: they are loaded again.
        stop_requested: Set from outside (signals); all ranks leave after the same batch.
        amendments: What of the plan had to change on the way: key to {"old", "new", "reason"}.
        best: The best validation so far: metric, its value, epoch, and the model that was published of it.
    """

    plan: Plan
    comm: Comm
    workers: Sequence[Worker]
    selector: Selector
    sync: Sync
    pool_ids: Tensor
    table: Table
    ledger: Ledger
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    ema: Ema | None = None
    lookahead: Lookahead | None = None
    cursor: Cursor = field(default_factory=Cursor)
    order: Order | None = None
    packer: Packer = field(default_factory=Packer)
    packed: int = 0
    held: dict[int, Batch] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)
    stop_requested: bool = False
    amendments: dict[str, dict[str, str]] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.plan.recipe.train.seed

    @property
    def device(self) -> torch.device:
        return next(self.workers[0].model.parameters()).device

    def evaluated_model(self) -> nn.Module:
        """A copy of what would be handed over now: the averaged weights where there are any."""
        model = self.sync.averaged(self.workers)
        if self.ema is not None:
            self.ema.load_into(model)
        return model.eval()

    def state_dict(self) -> State:
        """All state, nested; every rank must call it, as ranks exchange what they have observed."""
        return {
            "cursor": self.cursor.state_dict(),
            # Workers that agree at every step are equal: one speaks for all.
            "workers": {
                "0": {
                    "model": dict(self.workers[0].model.state_dict()),
                    "optimizer": optimizer_state(self.workers[0].optimizer),
                }
            },
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "lookahead": self.lookahead.state_dict() if self.lookahead else {},
            "table": self.table.state_dict(),
            "selector": self.selector.state_dict(),
            "sync": self.sync.state_dict(),
            "order": self.order.state_dict() if self.order else {},
            "packer": self.packer.state_dict(),
            "packed": self.packed,
            "observed": self.observed.gathered(self.comm),
            "ledger": {
                **self.ledger.state_dict(),
                "local": self.comm.gather([torch.tensor([self.ledger.local()], device=self.device)]).tolist(),
            },
            "amendments": dict(self.amendments),
            "best": dict(self.best),
        }

    def load_state_dict(self, state: State) -> None:
        """Puts back what `state_dict` gave."""
        self.cursor.load_state_dict(state["cursor"])
        (saved,) = state["workers"].values()
        for worker in self.workers:
            worker.model.load_state_dict(saved["model"])
            load_optimizer_state(worker.optimizer, saved["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        if self.lookahead:
            self.lookahead.load_state_dict(state["lookahead"], self.workers[0].model)
        self.table.load_state_dict(state["table"])
        self.selector.load_state_dict(state["selector"])
        self.sync.load_state_dict(state["sync"])
        self.order = Order.from_state(state["order"]) if state["order"] else None
        self.packer.load_state_dict(state["packer"])
        self.packed = state["packed"]
        self.held.clear()
        self.observed.clear()
        if self.comm.rank == 0:  # one rank speaks for all when they compare notes
            self.observed.load(state["observed"])
        self.ledger.load_state_dict(state["ledger"])
        for rank, rows in enumerate(state["ledger"]["local"]):
            # Each rank goes on with its own counts; rank 0 keeps those of ranks that are no more.
            if rank == self.comm.rank or (self.comm.rank == 0 and rank >= self.comm.workers):
                self.ledger.add_local(rows)
        self.amendments.clear()
        self.amendments |= state.get("amendments", {})
        self.best = dict(state["best"])

    def digest(self) -> str:
        """Hash of the whole state but best metric, evaluation counts, seconds, memory and what else the machine did."""
        state = self.state_dict()
        del state["best"]
        state["ledger"] = state["ledger"]["exact"]
        return state_digest(state)


def chosen_order(plan: Plan, chosen: Selection, at: At, seed: int, packs: bool, candidates: float) -> Order:
    """Shuffles an epoch's samples and cuts them into batches."""
    samples = shuffled(chosen, seed, at.epoch)
    stage = plan.stage(at.epoch)
    sizes, step_sizes = (plan.batch_sizes(len(samples), stage, packs, width) for width in (candidates, 1.0))
    return Order(samples, sizes, step_sizes, chosen.lr_scale, at.share)


def shuffled(chosen: Selection, seed: int, epoch: int) -> Packed:
    """An epoch's samples in the order of training."""
    from fewer.core import rng

    copy_M = occurrences(chosen.ids_M)
    order = rng.shuffled(chosen.ids_M, seed, "order", epoch, copy_M=copy_M)
    return Packed(chosen.ids_M, chosen.weight_M, copy_M, torch.zeros_like(copy_M)).take(order)


def occurrences(ids_M: Tensor) -> Tensor:
    """How often each entry's id occurs before it: 0 for the first, 1 for its first repetition."""
    order = torch.argsort(ids_M, stable=True)
    sorted_M = ids_M[order]
    position = torch.arange(len(ids_M))
    starts = torch.ones(len(ids_M), dtype=torch.bool)
    starts[1:] = sorted_M[1:] != sorted_M[:-1]
    first = torch.cummax(torch.where(starts, position, 0), 0).values if len(ids_M) else position
    result = torch.empty_like(position)
    result[order] = position - first
    return result


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
