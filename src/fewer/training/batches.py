"""Global batches shared out among workers: an epoch's candidate batches, each worker's part, and what waits loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from fewer.core.allocation import shares
from fewer.core.protocols import Data
from fewer.core.ragged import Ragged, dense
from fewer.core.types import At, Batch, Request, Stage, Worker
from fewer.select.packer import Packed
from fewer.training.run import Run

if TYPE_CHECKING:
    from torch import Tensor


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A global batch of images of one side, and each local worker's part of it.

    That is: positions in the global batch, and the loaded samples.
    """

    at: At
    stage: Stage
    side_px: int
    number: int
    batches: int
    samples: Packed
    positions: Sequence[Tensor]
    loaded: Sequence[Batch]

    @property
    def is_last(self) -> bool:
        return self.number == self.batches - 1


def candidates(data: Data, run: Run, stage: Stage) -> Iterator[Candidate]:
    """The epoch's remaining batches, loaded."""
    order, epoch, workers = run.selection.order, run.cursor.epoch, run.sync.workers
    assert order is not None
    pieces = list(
        zip(*(getattr(order.samples, name).split(order.sizes) for name in Packed.__dataclass_fields__), strict=True)
    )
    numbers = range(run.cursor.batch, len(order.sizes))
    unit = _unit(run, epoch)
    whole = {number: shard_in_order(Packed(*pieces[number]), workers, unit) for number in numbers}
    mine = {number: local_part(run, shard(whole[number].owner_G, workers, unit)) for number in numbers}
    sides = dict(zip(numbers, stage.batch_sides_px(epoch, numbers), strict=True))
    batches = data.batches(
        Request.training(stage, epoch, whole[n].ids_G[p], whole[n].copy_G[p], sides[n])
        for n in numbers
        for p in mine[n]
    )
    for number in numbers:
        with run.ledger.phase("data_wait"):
            loaded = [next(batches) for _ in run.workers]
            if number == numbers[-1]:
                next(batches, None)  # ends the stream: what comes before the next epoch has the loader to itself
        if not stage.keeps_features:
            run.ledger.book(stage.index, samples_loaded=sum(map(len, loaded)))
        at = run.plan.at(epoch, number, len(order.sizes), order.share)
        yield Candidate(at, stage, sides[number], number, len(order.sizes), whole[number], mine[number], loaded)


def forward_sizes(run: Run) -> list[int]:
    """Sizes of the epoch's batches as they reach a model, on any worker, the most frequent first."""
    assert run.selection.order is not None
    counts = Counter(
        micro
        for size, times in Counter(run.selection.order.step_sizes).items()
        for share in _sizes(size, run.sync.workers, _unit(run, run.cursor.epoch))
        for micro in shares(share, run.micro_batches)
        for _ in range(times)
        if micro
    )
    return sorted(counts, key=lambda size: (-counts[size], -size))


def largest_share(run: Run, samples: int, epoch: int) -> int:
    """The most samples that any worker gets of a global batch."""
    return max(_sizes(samples, run.sync.workers, _unit(run, epoch)))


def blank(batch: Batch, ids_B: Tensor) -> Batch:
    """Samples of zeros in the shapes of a batch, which may be empty."""
    images = dense(batch.inputs)
    inputs = images.new_zeros((len(ids_B), *images.shape[1:]))
    if isinstance(batch.targets, Ragged):  # an empty one does not tell what its samples would have
        return Batch(ids_B, inputs, Ragged(({},) * len(ids_B)))
    return Batch(ids_B, inputs, batch.targets.new_zeros((len(ids_B), *batch.targets.shape[1:])))


def local_part(run: Run, per_worker: Sequence[T]) -> list[T]:
    """Of something that each worker has, what belongs to the workers of this process."""
    return [per_worker[worker.id] for worker in run.workers]


# --- In-batch choice: loaded samples that wait for a full batch -----------------------------------------------------


def cache_kept(workers: Sequence[Worker], candidate: Candidate, mask_G: Tensor) -> None:
    """Holds the loaded samples that go into the packer's queue."""
    for worker, positions, batch in zip(workers, candidate.positions, candidate.loaded, strict=True):
        # A further copy of a sample is a view of its own, which is loaded when its turn comes.
        is_first = candidate.samples.copy_G[positions] == 0
        kept = batch.take((mask_G[positions] & is_first).nonzero().flatten())
        worker.held = kept if worker.held is None else Batch.joined([worker.held, kept])


def assemble(data: Data, run: Run, candidate: Candidate, packed: Packed) -> Candidate:
    """A batch that the packer gives out: each worker takes what it holds, and loads what it lacks."""
    positions = local_part(run, shard(packed.owner_G, run.sync.workers, _unit(run, candidate.at.epoch)))
    loaded = [
        _assembled(data, run, candidate, worker, packed.take(index))
        for worker, index in zip(run.workers, positions, strict=True)
    ]
    return replace(candidate, samples=packed, positions=positions, loaded=loaded)


def _assembled(data: Data, run: Run, candidate: Candidate, worker: Worker, mine: Packed) -> Batch:
    """One worker's part of a packed batch; what still waits in the queue stays held."""
    held, ids, copies = worker.held, mine.ids_G, mine.copy_G
    have = {int(i): n for n, i in enumerate(held.ids_B)} if held is not None else {}
    # Copies of a sample are views of their own: only first copies are looked up among what is held.
    lacking = torch.tensor(
        [int(c) > 0 or int(i) not in have for i, c in zip(ids, copies, strict=True)], dtype=torch.bool
    )
    rows = torch.tensor([have[int(i)] for i in ids[~lacking]], dtype=torch.int64)
    batch = held.take(rows) if held is not None else None
    if lacking.any() or batch is None:
        part = ids[lacking], copies[lacking]
        request = Request.training(candidate.stage, candidate.at.epoch, *part, candidate.side_px)
        with run.ledger.phase("data_wait"):
            fetched = next(iter(data.batches([request])))
        run.ledger.book(candidate.stage.index, samples_loaded=len(fetched))
        there = torch.cat([(~lacking).nonzero().flatten(), lacking.nonzero().flatten()])
        joined = fetched if batch is None else Batch.joined([batch, fetched])
        batch = joined.take(torch.argsort(there))
    if held is not None:
        waiting = torch.isin(held.ids_B.cpu(), run.selection.packer.queue.ids_G).nonzero().flatten()
        worker.held = held.take(waiting)
    return batch


# --- Shares -------------------------------------------------------------------------------------------------------


def shard_in_order(samples: Packed, workers: int, unit: int = 1) -> Packed:
    """Gives every worker its part of a new batch: runs of equal length, in order, of whole units of samples."""
    sizes = torch.tensor(_sizes(len(samples), workers, unit))
    return Packed(samples.ids_G, samples.weight_G, samples.copy_G, torch.arange(workers).repeat_interleave(sizes))


def shard(owner_G: Tensor, workers: int, unit: int = 1) -> list[Tensor]:
    """Positions of each worker's samples in a global batch, in equal shares.

    Workers get what they own first; what some own beyond their share goes to those who own too little.

    Args:
        owner_G: The worker that has loaded each sample.
        workers: How many there are.
        unit: So many neighbours stay together, with the owner of the first.
    """
    if unit > 1:
        units = [part[:, None] * unit + torch.arange(unit) for part in shard(owner_G[::unit], workers)]
        return [positions[positions < len(owner_G)] for positions in units]
    sizes = shares(len(owner_G), workers)
    owned = [(owner_G % workers == worker).nonzero().flatten() for worker in range(workers)]
    spare = torch.cat([positions[size:] for positions, size in zip(owned, sizes, strict=True)]).sort().values
    parts = []
    for positions, size in zip(owned, sizes, strict=True):
        lacking = max(0, size - len(positions))
        parts.append(torch.cat([positions[:size], spare[:lacking]]))
        spare = spare[lacking:]
    return parts


def _sizes(samples: int, workers: int, unit: int) -> list[int]:
    """Samples of each worker, in whole units but for the last."""
    sizes, left = [], samples
    for units in shares(-(-samples // unit), workers):
        sizes.append(min(units * unit, left))
        left -= sizes[-1]
    return sizes


def _unit(run: Run, epoch: int) -> int:
    """Samples that have to be on one worker: those that are put together, where batches are mixed."""
    rule = run.plan.mix_rule(run.plan.at(epoch))
    return rule.unit if rule else 1
