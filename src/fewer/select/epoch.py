"""The selection of one epoch after another: which samples count now, and what has been observed of them.

The training loop of this package and `Chooser`, for loops of one's own, both work on it. Letters at the ends of
tensors' names: see `fewer.core.types`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import torch

from fewer.core import rng
from fewer.core.observation import Column, Observed
from fewer.core.table import Table
from fewer.core.types import At, KeepMask, Selection, State
from fewer.select.batch_losses import credited
from fewer.select.data_share import DataShare
from fewer.select.observations import Observations
from fewer.select.packer import Packed, Packer

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm, Selector


@dataclass(slots=True)
class Order:
    """The samples of the current epoch, shuffled; drawn from scores that may have changed since.

    Attributes:
        samples: Ids, weights and copy numbers in the order of training.
        lr_scale: Factor on the epoch's learning rate.
        share: What `At.share` is in this epoch.
        sizes: Samples in each candidate batch.
        step_sizes: Samples in each step's batch, where all are kept.
    """

    samples: Packed
    lr_scale: float
    share: float | None = None
    sizes: Sequence[int] = field(default_factory=list)
    step_sizes: Sequence[int] = field(default_factory=list)

    def state_dict(self) -> State:
        sizes = {"sizes": torch.tensor(self.sizes), "step_sizes": torch.tensor(self.step_sizes)}
        return {"samples": self.samples.state_dict(), **sizes, "lr_scale": self.lr_scale, "share": self.share}

    @classmethod
    def from_state(cls, state: State) -> Order:
        sizes, step_sizes = (state[name].tolist() for name in ("sizes", "step_sizes"))
        return cls(Packed.from_state(state["samples"]), state["lr_scale"], state.get("share"), sizes, step_sizes)


@final
class EpochSelection:
    """A selector at work: table, the epoch's order, packer and observations, with one state.

    An epoch goes: `ids_to_score`, `observe_scored`, `select`, `begin`; in the batch `keep` and `next_batch` where the
    method chooses there; `observe` behind every step; `end`.

    Args:
        selector: The method, with what is put around it.
        pool_ids: Ids of the training images.
        size: Number of ids of the source, N.
        seed: The run's seed.
        shares: Which of the images each epoch shows; left out: all.
        columns: The columns that the selector asks for, those of the task among them; left out: the selector's own.
        averages_batches: Whether samples are credited with the mean of their batches, whose sizes `begin` is told then.

    Attributes:
        columns: Columns beside loss, score and correctness, of forwards without a step.
        trained_columns: Those of them that training forwards give.
        table: What is known of every sample.
        order: The current epoch's samples; None between epochs.
        packer: Kept samples that wait for a full batch.
        packed: Batches that the packer has given out in this epoch.
        observations: What this epoch's training forwards have shown.
    """

    def __init__(
        self,
        selector: Selector,
        pool_ids: Tensor,
        size: int,
        seed: int,
        shares: DataShare | None = None,
        columns: Sequence[Column] | None = None,
        averages_batches: bool = False,
    ) -> None:
        self.selector, self.pool_ids, self.seed, self.shares = selector, pool_ids, seed, shares
        self.averages_batches = averages_batches
        self.columns = selector.columns if columns is None else columns
        self.trained_columns = [column for column in self.columns if column.in_training]
        self.table = Table(size, self.columns)
        self.order: Order | None = None
        self.packer, self.packed = Packer(), 0
        self.observations = Observations(self.trained_columns)

    # --- Before the epoch -------------------------------------------------------------------------------------

    def ids_to_score(self, at: At) -> Tensor:
        """Ids to score forward-only before the epoch, of the images that it shows; often none."""
        wanted = self.selector.ids_to_score(self.table, at)
        shown = self.shown(at.epoch)
        return wanted if len(shown) == len(self.pool_ids) else wanted[torch.isin(wanted, shown)]

    def shown(self, epoch: int) -> Tensor:
        """Ids of the images that an epoch shows, which the method chooses among."""
        return self.shares.ids(epoch) if self.shares else self.pool_ids

    def observe_scored(self, seen: Observed, epoch: int) -> None:
        """Takes the scores of a forward-only pass."""
        self.table.observe("scored", seen, epoch)

    def select(self, at: At) -> Selection:
        """The samples of an epoch, in no order; to be called once an epoch."""
        return self.selector.select(self.table, self.shown(at.epoch), at)

    def begin(self, selection: Selection, at: At, sizes: Sequence[int] = (), step_sizes: Sequence[int] = ()) -> Order:
        """Shuffles an epoch's samples by (seed, epoch).

        Args:
            selection: What `select` gave.
            at: The epoch's moment.
            sizes: Samples in each candidate batch, where batches are cut beforehand; of fewer samples in an epoch that
                is cut short.
            step_sizes: Samples in each step's batch, where all are kept.
        """
        samples = shuffled(selection, self.seed, at.epoch)
        if sizes and sum(sizes) < len(samples):  # an epoch that is cut short
            samples = samples.take(torch.arange(sum(sizes)))
        self.order = Order(samples, float(selection.lr_scale), at.share, sizes, step_sizes)
        self.packed = 0
        return self.order

    # --- In the epoch -----------------------------------------------------------------------------------------

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        """Chooses in a global candidate batch, whose scores the table learns."""
        keep = self.selector.keep(seen_G, at)
        self.table.observe("scored", seen_G, at.epoch)
        return keep

    def pack(self, samples: Packed, keep: KeepMask, is_last: bool) -> Iterator[Packed]:
        """Queues what is kept of a candidate batch; yields the batches that it completes, in the order's sizes.

        Args:
            samples: The candidate batch.
            keep: What is kept of it.
            is_last: It is the epoch's last: the rest leaves as a smaller batch.
        """
        assert self.order is not None
        weight_G = samples.weight_G * keep.weight_G
        self.packer.push(Packed(samples.ids_G, weight_G, samples.copy_G, samples.owner_G).take(keep.mask_G))
        sizes = self.order.step_sizes
        while True:
            size = sizes[min(self.packed, len(sizes) - 1)] if self.selector.packs else len(self.packer.queue)
            batch = self.packer.pop(max(2, size), last=is_last)
            if batch is None:
                return
            self.packed += 1
            yield batch

    def observe(self, seen_B: Observed, copy_B: Tensor, counts_B: Tensor | None = None) -> None:
        """Takes the observations of a training forward; arguments as for `Observations.add`."""
        self.observations.add(seen_B, copy_B, counts_B)

    def end(self, comm: Comm, epoch: int) -> int:
        """Brings the table up to date at the end of an epoch; every process must call it.

        Returns:
            How many samples were observed.
        """
        self.observations.gather(comm)
        order, self.order, self.packed = self.order, None, 0
        if not self.averages_batches:
            return self.observations.write(self.table, "trained", epoch)
        assert order is not None

        def change(seen_R: Observed, copy_R: Tensor) -> Observed:
            return credited(seen_R, copy_R, order.samples, order.sizes, self.table)

        return self.observations.write(self.table, "trained", epoch, change)

    # --- State ------------------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """All state, nested; `observations.gather` comes before, on every process."""
        return {
            "table": self.table.state_dict(),
            "selector": self.selector.state_dict(),
            "order": self.order.state_dict() if self.order else {},
            "packer": self.packer.state_dict(),
            "packed": self.packed,
            "observed": self.observations.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Puts back what `state_dict` gave."""
        self.table.load_state_dict(state["table"])
        self.selector.load_state_dict(state["selector"])
        self.order = Order.from_state(state["order"]) if state["order"] else None
        self.packer.load_state_dict(state["packer"])
        self.packed = state["packed"]
        self.observations.load_state_dict(state["observed"])


def shuffled(selection: Selection, seed: int, epoch: int) -> Packed:
    """An epoch's samples in the order of training."""
    copy_M = occurrences(selection.ids_M)
    order = rng.shuffled(selection.ids_M, seed, "order", epoch, copy_M=copy_M)
    return Packed(selection.ids_M, selection.weight_M, copy_M, torch.zeros_like(copy_M)).take(order)


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
