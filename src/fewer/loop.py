"""The only training loop. It reads the plan, calls the parts, and yields a row a batch; its state is `Run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fewer import rng
from fewer.errors import DivergedError, RecipeError
from fewer.optim.sgd import set_lr
from fewer.parts import At, Batch, Data, Forward, Outcome, Request, Stage, Task, Worker
from fewer.plan import even_sizes, shares
from fewer.run import Order, Run, chosen_order
from fewer.select.packer import Packed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """What one candidate batch did.

    Attributes:
        epoch, batch, batches: The candidate batch, from 0, and how many the epoch has.
        step: Optimizer steps taken so far.
        progress: Share of the run before this batch.
        lr: Learning rate of the weights.
        loss, top1: Means over the samples stepped on; None where there was no step.
        kept, candidates: Samples stepped on, and samples looked at.
        stop: A stop was requested on some rank; all ranks see it here.
        epoch_end: This was the epoch's last batch, and the table has been brought up to date.
    """

    epoch: int
    batch: int
    batches: int
    step: int
    progress: float
    lr: float
    loss: float | None
    top1: float | None
    kept: int
    candidates: int
    side_px: int
    stop: bool
    epoch_end: bool


def train(task: Task, data: Data, run: Run) -> Iterator[Row]:
    """Trains from wherever `run` stands to the end of its plan.

    State is complete whenever a row is yielded: the caller may evaluate, checkpoint, or stop for good.

    Args:
        task: What is learnt.
        data: The training images.
        run: What changes.

    Yields:
        A row for each candidate batch.

    Raises:
        DivergedError: The loss is not finite; the step was not taken.
        RecipeError: The selection keeps nothing in a whole epoch.
    """
    while run.cursor.epoch < run.plan.epochs:
        stage = run.plan.stage(run.cursor.epoch)
        forwards = _enter(task, run, stage)
        if run.order is None:
            run.order = _choose(task, data, run, stage)
        for candidate in _candidates(data, run, stage):
            steps = [candidate]
            if run.selector.fresh(candidate.at):
                steps = list(_kept(task, data, run, forwards, candidate))
            totals = [_step(task, run, forwards, step, nth) for nth, step in enumerate(steps)]
            yield _advance(run, candidate, totals or [_agree(run, torch.zeros(6, dtype=torch.float64))])


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A global batch, and each local worker's part of it: positions in the global batch, and the loaded samples."""

    at: At
    stage: Stage
    number: int
    batches: int
    samples: Packed
    positions: Sequence[Tensor]
    loaded: Sequence[Batch]

    @property
    def is_last(self) -> bool:
        return self.number == self.batches - 1


def _enter(task: Task, run: Run, stage: Stage) -> list[Forward]:
    """Brings the models into an epoch's shape; done anew in each epoch and after a resume."""
    run.ledger.enter(stage.index)
    for worker in run.workers:
        task.prepare(worker.model, stage, run.cursor.epoch)
        worker.model.train()
    return [run.sync.forward(worker, stage) for worker in run.workers]


def _choose(task: Task, data: Data, run: Run, stage: Stage) -> Order:
    """Scores what the selector wants to know, then draws the epoch's samples."""
    at = run.plan.at(run.cursor.epoch)
    with run.ledger.phase("select"):
        wanted = run.selector.wants(run.table, at)
        if len(wanted):
            _score(task, data, run, stage, wanted, at)
        chosen = run.selector.order(run.table, run.pool_ids, at)
        if len(chosen.ids_M) < 2:
            raise _keeps_nothing(run, len(chosen.ids_M))
        fresh = run.selector.fresh(at)
        candidates = run.selector.candidates(at) if fresh else 1.0
        return chosen_order(run.plan, chosen, at.epoch, run.seed, run.selector.packs or fresh, candidates)


def _score(task: Task, data: Data, run: Run, stage: Stage, ids_M: Tensor, at: At) -> None:
    """A forward-only pass over the evaluation view of some samples, shared out among the workers."""
    batches = even_sizes(len(ids_M), -(-len(ids_M) // stage.batch_size))
    parts = [
        part for ids in ids_M.split(batches) for part in _local(run, ids.split(shares(len(ids), run.comm.workers)))
    ]
    outcomes: list[list[Tensor]] = [[torch.empty(0, 4, dtype=torch.float64)] for _ in run.workers]
    loaded = data.batches(Request(ids, at.epoch, stage.side_px, strength=0.0) for ids in parts)
    for index, batch in enumerate(loaded):
        worker = index % len(run.workers)
        run.ledger.book(stage.index, samples_loaded=len(batch))
        if len(batch):
            outcomes[worker].append(_looked_at(task, run.workers[worker], run.workers[worker].model, batch, at))
    columns = run.comm.gather([torch.cat(rows) for rows in outcomes]).unbind(1)
    run.table.observe("scored", columns[0].long(), columns[1], columns[2], columns[3].bool(), at.epoch)
    flops = run.plan.sample_flops(at.epoch)
    run.ledger.book(stage.index, samples_forwarded=len(ids_M), flops=len(ids_M) * flops.forward)


def _candidates(data: Data, run: Run, stage: Stage) -> Iterator[_Candidate]:
    """The epoch's remaining batches, loaded."""
    order, epoch = run.order, run.cursor.epoch
    assert order is not None
    pieces = list(
        zip(*(getattr(order.samples, name).split(order.sizes) for name in Packed.__dataclass_fields__), strict=True)
    )
    numbers = range(run.cursor.batch, len(order.sizes))
    whole = {number: _dealt_in_order(Packed(*pieces[number]), run.comm.workers) for number in numbers}
    local = {number: _local(run, _positions(whole[number].owner_G, run.comm.workers)) for number in numbers}
    batches = data.batches(
        Request(whole[n].ids_G[p], epoch, stage.side_px, copy_B=whole[n].copy_G[p]) for n in numbers for p in local[n]
    )
    for number in numbers:
        with run.ledger.phase("data_wait"):
            loaded = [next(batches) for _ in run.workers]
        run.ledger.book(stage.index, samples_loaded=sum(map(len, loaded)))
        at = run.plan.at(epoch, number, len(order.sizes))
        yield _Candidate(at, stage, number, len(order.sizes), whole[number], local[number], loaded)


def _kept(task: Task, data: Data, run: Run, forwards: Sequence[Forward], candidate: _Candidate) -> Iterator[_Candidate]:
    """Scores a candidate batch with the current weights; yields the batches that what is kept of it completes."""
    order, at, stage = run.order, candidate.at, candidate.stage
    assert order is not None
    with run.ledger.phase("select"):
        rows = [
            _looked_at(
                task, worker, forward, batch, at, run.selector.scores_in_train_mode, (run.seed, candidate.number)
            )
            for worker, forward, batch in zip(run.workers, forwards, candidate.loaded, strict=True)
        ]
        ids_G, loss_G, score_G, right_G = run.comm.gather(rows).unbind(1)
        keep = run.selector.keep(ids_G.long(), loss_G, score_G, right_G.bool(), at)
        run.table.observe("scored", ids_G.long(), loss_G, score_G, right_G.bool(), at.epoch)
        flops = run.plan.sample_flops(at.epoch).forward
        run.ledger.book(stage.index, samples_forwarded=len(ids_G), flops=len(ids_G) * flops)
        _hold(run, candidate, keep.mask_G)
        weighted = Packed(
            candidate.samples.ids_G,
            candidate.samples.weight_G * keep.weight_G,
            candidate.samples.copy_G,
            candidate.samples.owner_G,
        )
        run.packer.push(weighted.take(keep.mask_G))
    while True:
        size = order.sizes[min(run.packed, len(order.sizes) - 1)] if run.selector.packs else len(run.packer.queue)
        packed = run.packer.pop(max(1, size), last=candidate.is_last)
        if packed is None:
            return
        run.packed += 1
        yield _released(data, run, candidate, packed)


def _step(task: Task, run: Run, forwards: Sequence[Forward], step: _Candidate, nth: int) -> Tensor:
    """One optimizer step on one global batch; returns what all ranks agree on, see `_agree`."""
    plan, at, order = run.plan, step.at, run.order
    assert order is not None
    size = len(step.samples)
    totals = torch.zeros(6, dtype=torch.float64)
    with run.ledger.phase("train"):
        for worker, forward, positions, batch in zip(run.workers, forwards, step.positions, step.loaded, strict=True):
            worker.optimizer.zero_grad(set_to_none=True)
            part = step.samples.take(positions)
            first = 0
            for micro, count in enumerate(shares(len(batch), plan.recipe.train.accumulate)):
                if not count:
                    continue
                cut = slice(first, first + count)
                first += count
                rng.reseed(run.seed, "layers", at.epoch, step.number, nth, micro, worker.id)
                outcome = task.outcome(forward, batch.take(cut), at)
                loss_sum = (outcome.loss_sum_B * part.weight_G[cut].to(outcome.loss_sum_B)).sum()
                # Divided by what is known now, the samples; dense tasks know the count of losses after `_agree`.
                (loss_sum / size).backward()
                run.observed.add(batch.ids_B[cut], part.copy_G[cut], outcome)
                totals += _summed(outcome, loss_sum)
        with run.ledger.phase("sync"):
            totals = _agree(run, totals)
            _raise_unless_finite(run, totals, at)
            run.sync.gradients(run.workers)
        for worker in run.workers:
            _update(run, worker, at, order.lr_scale, rescale=size / float(totals[0]))
        with run.ledger.phase("sync"):
            run.sync.parameters(run.workers, run.cursor.step + 1)
        run.cursor.step += 1
        if run.ema:
            run.ema.update(run.workers[0].model, size)
        if run.lookahead:
            run.lookahead.update(run.workers[0].model, run.cursor.step, at.progress)
    flops = plan.sample_flops(at.epoch)
    run.ledger.book(
        step.stage.index,
        samples_forwarded=size,
        samples_backpropagated=size,
        optimizer_steps=1,
        flops=size * (flops.forward + flops.backward),
    )
    return totals


def _update(run: Run, worker: Worker, at: At, lr_scale: float, rescale: float) -> None:
    """Rescales and clips the summed gradient, then steps."""
    gradients = [p.grad for p in worker.model.parameters() if p.grad is not None]
    if rescale != 1:
        torch._foreach_mul_(gradients, rescale)
    limit = run.plan.recipe.train.clip_norm
    if limit:
        norm = torch.nn.utils.clip_grad_norm_(worker.model.parameters(), limit)
        if not torch.isfinite(norm):
            raise _diverged(run, at, "gradient")
    set_lr(worker.optimizer, run.plan.lr_factor(at.progress) * lr_scale)
    worker.optimizer.step()


def _advance(run: Run, candidate: _Candidate, totals: Sequence[Tensor]) -> Row:
    """Moves the cursor behind a candidate batch; at the epoch's end brings the table up to date."""
    at, stage = candidate.at, candidate.stage
    total = torch.stack(list(totals)).sum(0)
    kept = int(total[3])
    if not kept and not (run.selector.packs and run.selector.fresh(at)):
        run.ledger.book(stage.index, skipped_steps=1)
    run.cursor.batch += 1
    if candidate.is_last:
        _end_epoch(run, stage, at)
    run.ledger.book(stage.index, bytes_sent=run.comm.take_bytes_sent())
    return Row(
        epoch=at.epoch,
        batch=candidate.number,
        batches=candidate.batches,
        step=run.cursor.step,
        progress=at.progress,
        lr=run.plan.recipe.train.lr * run.plan.lr_factor(at.progress),
        loss=float(total[1] / total[0]) if kept else None,
        top1=float(total[2] / total[3]) if kept else None,
        kept=kept,
        candidates=len(candidate.samples),
        side_px=stage.side_px,
        stop=bool(total[5] > 0),
        epoch_end=candidate.is_last,
    )


def _end_epoch(run: Run, stage: Stage, at: At) -> None:
    left = run.packer.clear()
    run.ledger.book(stage.index, samples_left_over=left)
    if run.selector.fresh(at) and not run.packed:
        raise _keeps_nothing(run, left)
    seen = run.observed.gathered(run.comm)
    run.table.observe("trained", seen["ids"], seen["loss"], seen["score"], seen["right"], at.epoch)
    run.observed.clear()
    run.held.clear()
    if run.lookahead:
        for worker in run.workers:
            run.lookahead.end_epoch(worker.model)
    run.order, run.packed = None, 0
    run.cursor.epoch, run.cursor.batch = run.cursor.epoch + 1, 0


# --- Ranks: who works on what, and what they agree on -----------------------------------------------------------


def _agree(run: Run, totals: Tensor) -> Tensor:
    """The loop's one small all-reduce a batch: count, loss, right, samples, non-finite losses, stop requests."""
    totals[5] = float(run.stop_requested)
    totals = totals.to(run.device if run.device.type != "mps" else "cpu")
    run.comm.all_reduce([totals])
    return totals.cpu()


def _summed(outcome: Outcome, loss_sum: Tensor) -> Tensor:
    loss = loss_sum.detach().double()
    numbers = [
        outcome.count_B.sum(),
        loss,
        outcome.right_B.sum(),
        outcome.right_B.new_tensor(len(outcome.right_B), dtype=torch.int64),
        ~torch.isfinite(loss),
    ]
    return torch.stack([number.double() for number in numbers] + [loss.new_zeros(())]).cpu()


def _local(run: Run, per_worker: Sequence[Any]) -> list[Any]:
    return [per_worker[worker.id] for worker in run.workers]


def _dealt_in_order(samples: Packed, workers: int) -> Packed:
    """Gives every worker its part of a fresh batch: runs of equal length, in order."""
    sizes = torch.tensor(shares(len(samples), workers))
    return Packed(samples.ids_G, samples.weight_G, samples.copy_G, torch.arange(workers).repeat_interleave(sizes))


def _positions(owner_G: Tensor, workers: int) -> list[Tensor]:
    """Where each worker's samples stand in a global batch, in equal shares.

    Workers get what they own first; what some own beyond their share goes to those who own too little.
    """
    sizes = shares(len(owner_G), workers)
    owned = [(owner_G % workers == worker).nonzero().flatten() for worker in range(workers)]
    spare = torch.cat([positions[size:] for positions, size in zip(owned, sizes, strict=True)]).sort().values
    dealt = []
    for positions, size in zip(owned, sizes, strict=True):
        lacking = max(0, size - len(positions))
        dealt.append(torch.cat([positions[:size], spare[:lacking]]))
        spare = spare[lacking:]
    return dealt


def _hold(run: Run, candidate: _Candidate, mask_G: Tensor) -> None:
    """Keeps the loaded samples that go into the packer's queue."""
    for worker, positions, batch in zip(run.workers, candidate.positions, candidate.loaded, strict=True):
        kept = batch.take(mask_G[positions].nonzero().flatten().to(batch.inputs.device))
        run.held[worker.id] = Batch.joined([run.held[worker.id], kept]) if worker.id in run.held else kept


def _released(data: Data, run: Run, candidate: _Candidate, packed: Packed) -> _Candidate:
    """Takes a packed batch's samples out of what the workers hold; what a worker lacks it loads."""
    positions = _local(run, _positions(packed.owner_G, run.comm.workers))
    loaded = []
    for worker, index in zip(run.workers, positions, strict=True):
        ids, copies = packed.ids_G[index], packed.copy_G[index]
        held = run.held.get(worker.id)
        have = {int(i): n for n, i in enumerate(held.ids_B)} if held is not None else {}
        # Copies of a sample are views of their own: only first copies are looked up among what is held.
        lacking = torch.tensor(
            [int(c) > 0 or int(i) not in have for i, c in zip(ids, copies, strict=True)], dtype=torch.bool
        )
        rows = torch.tensor([have[int(i)] for i in ids[~lacking]], dtype=torch.int64)
        batch = held.take(rows.to(held.inputs.device)) if held is not None else None
        if lacking.any() or batch is None:
            request = Request(ids[lacking], candidate.at.epoch, candidate.stage.side_px, copy_B=copies[lacking])
            fetched = next(iter(data.batches([request])))
            run.ledger.book(candidate.stage.index, samples_loaded=len(fetched))
            there = torch.cat([(~lacking).nonzero().flatten(), lacking.nonzero().flatten()])
            joined = fetched if batch is None else Batch.joined([batch, fetched])
            batch = joined.take(torch.argsort(there).to(joined.inputs.device))
        loaded.append(batch)
        if held is not None:
            waiting = torch.isin(held.ids_B.cpu(), run.packer.queue.ids_G).nonzero().flatten()
            run.held[worker.id] = held.take(waiting.to(held.inputs.device))
    return _Candidate(candidate.at, candidate.stage, candidate.number, candidate.batches, packed, positions, loaded)


# --- Looking at samples without learning from them ---------------------------------------------------------------


@torch.no_grad()
def _looked_at(
    task: Task,
    worker: Worker,
    forward: Forward,
    batch: Batch,
    at: At,
    train_mode: bool = False,
    key: tuple[int, ...] = (),
) -> Tensor:
    """Ids, losses, scores and correctness as columns of one float64 tensor; running statistics stay as they are."""
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


# --- What can go wrong -------------------------------------------------------------------------------------------


def _raise_unless_finite(run: Run, totals: Tensor, at: At) -> None:
    if totals[4] > 0:
        raise _diverged(run, at, "loss")


def _diverged(run: Run, at: At, what: str) -> DivergedError:
    return DivergedError(
        f"the {what} is not finite in epoch {at.epoch + 1}, batch {run.cursor.batch + 1} (step {run.cursor.step + 1}); "
        f"the step was not taken and the last good checkpoint is kept; lower train.lr ({run.plan.recipe.train.lr:g}) "
        "or set train.clip_norm = 1"
    )


def _keeps_nothing(run: Run, kept: int) -> RecipeError:
    method = run.plan.recipe.select.model_dump(mode="json")
    return RecipeError(
        f'select.method = "{method.pop("method")}" keeps {kept} of {len(run.pool_ids)} samples in epoch '
        f"{run.cursor.epoch + 1}, too few to train on ({', '.join(f'{k} = {v}' for k, v in method.items())}); "
        "the last checkpoint is kept; loosen the selection, or train fewer epochs"
    )
