"""Looking at samples without learning from them: the scoring pass before an epoch, and the choice within a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

from fewer.core import rng
from fewer.core.protocols import Data, Task
from fewer.core.types import At, Batch, Forward, Request, Stage, Worker
from fewer.plan.plan import even_sizes, shares
from fewer.select.packer import Packed
from fewer.training.batches import Candidate, assemble, cache_kept, local_parts
from fewer.training.run import Run

if TYPE_CHECKING:
    from torch import Tensor


def score_samples(task: Task, data: Data, run: Run, stage: Stage, ids_M: Tensor, at: At) -> None:
    """A forward-only pass over the evaluation view of some samples, shared out among the workers."""
    batches = even_sizes(len(ids_M), -(-len(ids_M) // stage.batch_size))
    parts = [
        part for ids in ids_M.split(batches) for part in local_parts(run, ids.split(shares(len(ids), run.comm.workers)))
    ]
    outcomes: list[list[Tensor]] = [[torch.empty(0, 4, dtype=torch.float64)] for _ in run.workers]
    loaded = data.batches(Request(ids, at.epoch, stage.side_px, strength=0.0) for ids in parts)
    for index, batch in enumerate(loaded):
        worker = index % len(run.workers)
        run.ledger.book(stage.index, samples_loaded=len(batch))
        if len(batch):
            outcomes[worker].append(score_batch(task, run.workers[worker], run.workers[worker].model, batch, at))
    columns = run.comm.gather([torch.cat(rows) for rows in outcomes]).unbind(1)
    run.table.observe("scored", columns[0].long(), columns[1], columns[2], columns[3].bool(), at.epoch)
    flops = run.plan.sample_flops(at.epoch)
    run.ledger.book(stage.index, samples_forwarded=len(ids_M), flops=len(ids_M) * flops.forward)


def select_in_batch(
    task: Task, data: Data, run: Run, forwards: Sequence[Forward], candidate: Candidate
) -> Iterator[Candidate]:
    """Scores a candidate batch with the current weights; yields the batches that what is kept of it completes."""
    order, at, stage = run.order, candidate.at, candidate.stage
    assert order is not None
    with run.ledger.phase("select"):
        rows = [
            score_batch(
                task, worker, forward, batch, at, run.selector.scores_in_train_mode, (run.seed, candidate.number)
            )
            for worker, forward, batch in _as_scored(run, forwards, candidate)
        ]
        if run.selector.scores_in_train_mode:
            run.sync.statistics(run.workers)
        ids_G, loss_G, score_G, right_G = run.comm.gather(rows).unbind(1)
        keep = run.selector.keep(ids_G.long(), loss_G, score_G, right_G.bool(), at)
        run.table.observe("scored", ids_G.long(), loss_G, score_G, right_G.bool(), at.epoch)
        flops = len(ids_G) * run.plan.scoring_flops(at.epoch)
        run.ledger.book(stage.index, samples_forwarded=len(ids_G), flops=flops)
        cache_kept(run, candidate, keep.mask_G)
        weighted = Packed(
            candidate.samples.ids_G,
            candidate.samples.weight_G * keep.weight_G,
            candidate.samples.copy_G,
            candidate.samples.owner_G,
        )
        run.packer.push(weighted.take(keep.mask_G))
    while True:
        sizes = order.step_sizes
        size = sizes[min(run.packed, len(sizes) - 1)] if run.selector.packs else len(run.packer.queue)
        packed = run.packer.pop(max(2, size), last=candidate.is_last)
        if packed is None:
            return
        run.packed += 1
        yield assemble(data, run, candidate, packed)


def _as_scored(run: Run, forwards: Sequence[Forward], candidate: Candidate) -> Iterator[tuple[Worker, Forward, Batch]]:
    """Each worker's forward and images for scoring: reduced ones where the selector asks for a cheaper look."""
    side_px = run.selector.scoring_side_px
    for worker, forward, batch in zip(run.workers, forwards, candidate.loaded, strict=True):
        if side_px is None or not len(batch):
            yield worker, forward, batch
        else:
            small = interpolate(batch.inputs, (side_px, side_px), mode="bilinear", antialias=True)
            yield worker, worker.model, replace(batch, inputs=small)  # a compiled forward knows the other side only


@torch.no_grad()
def score_batch(
    task: Task,
    worker: Worker,
    forward: Forward,
    batch: Batch,
    at: At,
    train_mode: bool = False,
    key: tuple[int, ...] = (),
) -> Tensor:
    """Ids, losses, scores and correctness as columns of one float64 tensor.

    Running statistics stay as they are, but in train mode.
    """
    if not len(batch):
        return torch.empty(0, 4, dtype=torch.float64)
    worker.model.train(train_mode)
    if train_mode:
        rng.reseed(key[0], "scoring", at.epoch, *key[1:], worker.id)
    outcome = task.outcome(forward, batch, at)
    worker.model.train()
    loss_B = outcome.loss_sum_B / outcome.count_B.clamp(min=1)
    return torch.stack(
        [value.double().cpu() for value in (batch.ids_B, loss_B, outcome.score_B, outcome.right_B)], dim=1
    )
