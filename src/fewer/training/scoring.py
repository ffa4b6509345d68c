"""Forward-only scoring: of any batches with any model, of samples before an epoch, and of a candidate batch in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

from fewer.core import rng
from fewer.core.allocation import even_sizes, shares
from fewer.core.observation import Column, Observed
from fewer.core.protocols import Comm, Data, Task
from fewer.core.ragged import dense
from fewer.core.types import At, Batch, Forward, Request, Stage, Worker
from fewer.training.batches import Candidate, assemble, blank, cache_kept
from fewer.training.run import Run
from fewer.training.transition import mode

if TYPE_CHECKING:
    from torch import Tensor, nn


@torch.no_grad()
def score_batch(
    task: Task,
    model: nn.Module,
    batch: Batch,
    at: At,
    columns: Sequence[Column] = (),
    forward: Forward | None = None,
    key: tuple[int | str, ...] | None = None,
) -> Observed:
    """Observations of a batch; the model learns nothing, and each module keeps its mode.

    Args:
        task: What is learnt.
        model: The bare model.
        batch: The samples.
        at: The moment.
        columns: Columns beside loss, score and correctness.
        forward: What to call, where it is not the model itself.
        key: Score in train mode, as some publications do: running statistics move, and layers that draw are seeded
            from this. If left out, the mode is the task's: eval, or train with running statistics that stay.
    """
    if not len(batch):
        return nothing(columns)
    in_train_mode = key is not None or task.scoring_mode == "train"
    with mode(model, in_train_mode, keeps_statistics=key is None):
        if in_train_mode:
            rng.reseed(*(key or (0, "scoring", at.epoch)))  # type: ignore[arg-type]
        seen_B = task.outcome(forward or model, batch, at, columns).observed(batch.ids_B)
    return Observed(seen_B.ids_B.cpu(), {name: _exact(values) for name, values in seen_B.columns.items()})


def score(task: Task, model: nn.Module, batches: Iterable[Batch], at: At, columns: Sequence[Column] = ()) -> Observed:
    """Observations of all samples of some batches, in eval mode, in their order; arguments as for `score_batch`."""
    return joined([score_batch(task, model, batch, at, columns) for batch in batches], columns)


def score_shared(
    task: Task,
    data: Data,
    models: Mapping[int, nn.Module],
    workers: int,
    requests: Sequence[Request],
    at: At,
    columns: Sequence[Column] = (),
) -> tuple[list[Observed], int]:
    """Scores this process's share of some requests, in eval mode.

    Args:
        task: What is learnt.
        data: The images.
        models: The models of this process by the number of the worker; each scores its own share.
        workers: All workers that the requests are shared out among.
        requests: Which samples, as which views; the same on every process.
        at: The moment.
        columns: Columns beside loss, score and correctness.

    Returns:
        Observations of each model, to be given to `gathered`; and how many samples were loaded here.
    """
    parts = [
        (worker, replace(request, ids_B=request.ids_B.split(shares(len(request.ids_B), workers))[worker]))
        for request in requests
        for worker in models
    ]
    seen: dict[int, list[Observed]] = {worker: [] for worker in models}
    for (worker, _), batch in zip(parts, data.batches(part for _, part in parts), strict=True):
        seen[worker].append(score_batch(task, models[worker], batch, at, columns))
    return [joined(each, columns) for each in seen.values()], sum(len(part.ids_B) for _, part in parts)


def evaluation_requests(ids_M: Tensor, epoch: int, side_px: int, batch_size: int) -> list[Request]:
    """Requests for the evaluation views of some samples, in batches of nearly equal sizes."""
    sizes = even_sizes(len(ids_M), -(-len(ids_M) // batch_size))
    return [Request.evaluation(side_px, epoch, ids) for ids in ids_M.split(sizes)]


def score_samples(task: Task, data: Data, run: Run, stage: Stage, ids_M: Tensor, at: At) -> Observed:
    """A forward-only pass over the evaluation view of some samples, shared out among the workers; books what it took.

    Every process must call it, and gets the observations of all samples.
    """
    columns, models = run.selection.columns, {worker.id: worker.model for worker in run.workers}
    requests = evaluation_requests(ids_M, at.epoch, stage.side_px, stage.batch_size)
    seen, loaded = score_shared(task, data, models, run.sync.workers, requests, at, columns)
    flops = len(ids_M) * run.plan.forward_flops(at.epoch)
    run.ledger.book(stage.index, samples_loaded=loaded, samples_forwarded=len(ids_M), flops=flops)
    return gathered(seen, run.comm, columns)


def select_in_batch(
    task: Task, data: Data, run: Run, forwards: Sequence[Forward], candidate: Candidate
) -> Iterator[Candidate]:
    """Scores a candidate batch with the current weights; yields the batches that what is kept of it completes."""
    selection, at, stage = run.selection, candidate.at, candidate.stage
    selector = selection.selector
    with run.ledger.phase("select"):
        seen = [
            score_batch(task, worker.model, batch, at, selection.columns, forward, _key(run, candidate, worker))
            for worker, forward, batch in _as_scored(run, forwards, candidate)
        ]
        if run.statistics and selector.scores_in_train_mode and not len(candidate.loaded[0]):
            _stand_in(task, run, candidate)
        if selector.scores_in_train_mode:
            run.sync.sync_buffers(run.workers)
        seen_G = gathered(seen, run.comm, selection.columns)
        keep = selection.keep(seen_G, at)
        flops = len(seen_G) * run.plan.scoring_flops(at.epoch)
        run.ledger.book(stage.index, samples_forwarded=len(seen_G), flops=flops)
        cache_kept(run.workers, candidate, keep.mask_G)
    for packed in selection.pack(candidate.samples, keep, candidate.is_last):
        yield assemble(data, run, candidate, packed)


def _stand_in(task: Task, run: Run, candidate: Candidate) -> None:
    """A scoring forward that counts for nothing, of a process without samples: others wait for it in BatchNorm."""
    assert run.statistics
    worker, empty = run.workers[0], candidate.loaded[0]
    with run.statistics.standing_in():
        batch = blank(empty, candidate.samples.ids_G[:1])
        score_batch(task, worker.model, batch, candidate.at, key=_key(run, candidate, worker))


def _key(run: Run, candidate: Candidate, worker: Worker) -> tuple[int | str, ...] | None:
    if not run.selection.selector.scores_in_train_mode:
        return None
    return run.seed, "scoring", candidate.at.epoch, candidate.number, worker.id


def _as_scored(run: Run, forwards: Sequence[Forward], candidate: Candidate) -> Iterator[tuple[Worker, Forward, Batch]]:
    """Each worker's forward and images for scoring: reduced ones where the selector asks for a cheaper look."""
    side_px = run.selection.selector.scoring_side_px
    for worker, forward, batch in zip(run.workers, forwards, candidate.loaded, strict=True):
        if side_px is None or not len(batch):
            yield worker, forward, batch
        else:
            small = interpolate(dense(batch.inputs), (side_px, side_px), mode="bilinear", antialias=True)
            yield worker, worker.model, replace(batch, inputs=small)  # a compiled forward knows the other side only


# --- Observations put together ------------------------------------------------------------------------------------


def nothing(columns: Sequence[Column] = ()) -> Observed:
    """Observations of no sample."""
    none = torch.empty(0, dtype=torch.float64)
    wide = {c.name: none if c.width == 1 else none.new_empty(0, c.width) for c in columns}
    return Observed.of(none.long(), none, none, none.bool(), **wide)


def joined(parts: Sequence[Observed], columns: Sequence[Column] = ()) -> Observed:
    """Observations one after another."""
    return Observed.joined([nothing(columns), *parts])


def gathered(seen_L: Sequence[Observed], comm: Comm, columns: Sequence[Column] = ()) -> Observed:
    """The observations of all workers in the order of their ids; every process must call it."""
    own = joined(seen_L, columns)
    return Observed(comm.gather(own.ids_B), {name: comm.gather(values) for name, values in own.columns.items()})


def _exact(values: Tensor) -> Tensor:
    return values.double().cpu() if values.is_floating_point() else values.cpu()
