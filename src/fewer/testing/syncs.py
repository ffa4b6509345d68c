"""The conformance kit of sync methods: it trains some workers with one, and names the promise that it breaks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from fewer.core.protocols import Comm, Sync
from fewer.core.types import State, SyncPoint, Worker
from fewer.sync.comm import SingleProcess
from fewer.testing.comparing import trying
from fewer.testing.threads import on_ranks
from fewer.testing.violation import Violation, require

if TYPE_CHECKING:
    from torch import Tensor

Build = Callable[[Comm, int], Sync]
_WORKERS, _LR, _ROUNDS = 4, 0.1, 4
_SHARE = 3  # samples of a worker in a step


def check_sync(build: Build) -> None:
    """Raises `Violation`, an AssertionError, at the first promise that a sync method breaks.

    Checked are

    - the workers of all processes are numbered from 0 without gaps, each in one process;
    - totals are summed over all workers, and equal on every process;
    - workers that are given the same samples train as one worker alone does, whatever the denominator;
    - the samples of every worker count;
    - four workers in one process train as four in two processes do;
    - where `keeps_equal` is True, all workers are equal behind every step, and one that is not is found;
    - the consensus of equal workers is their model, and asking for it changes nothing;
    - all workers are equal where the method says so, and behind the last step; all samples are told once;
    - state is a dict, and a method that was saved and loaded goes on as the other does.

    Args:
        build: Builds the method for a process, given all workers of the run.
    """
    for check in (_numbers, _totals, _same_samples, _processes, _equality, _agreement, _everyone, _state):
        check(build)


def _numbers(build: Build) -> None:
    for processes in (1, 2):
        found = on_ranks(processes, lambda comm: list(_built(build, comm).local_ids))
        ids = [id for each in found for id in each]
        require(ids == list(range(_WORKERS)), "workers are numbered over the processes", f"their ids are {found}")
    workers = _built(build, SingleProcess()).workers
    require(workers == _WORKERS, "workers counts all workers of the run", f"it is {workers} of {_WORKERS}")


def _totals(build: Build) -> None:
    def total(comm: Comm) -> list[float]:
        sync = _built(build, comm)
        with trying("reduce_totals"):
            found: list[float] = sync.reduce_totals([torch.tensor([1.0, float(id)]) for id in sync.local_ids]).tolist()
        return found

    for processes in (1, 2):
        found = on_ranks(processes, total)
        right = all(each == [4.0, 6.0] for each in found)
        require(right, "totals are summed over all workers", f"of 4 workers that gave 1 and their ids: {found}")


def _same_samples(build: Build) -> None:
    alone = _trained(lambda comm, workers: build(comm, 1), SingleProcess(), same=True, workers=1)[0]
    for id, flat in enumerate(_trained(build, SingleProcess(), same=True)):
        near = torch.allclose(flat, alone, rtol=0, atol=1e-9)
        fix = f"worker {id} differs by {float((flat - alone).abs().max()):g}; look at denominator and sync_gradients"
        require(near, "workers with the same samples train as one", fix)


def _everyone(build: Build) -> None:
    def agreed(odd: int | None) -> Tensor:
        sync = _built(build, SingleProcess())
        workers = [_worker(id) for id in sync.local_ids]
        _train(sync, workers, same=False, odd=odd)
        sync.finish(workers)
        return _flat(workers[0].model)

    usual = agreed(None)
    ignored = [id for id in range(_WORKERS) if torch.equal(agreed(id), usual)]
    require(
        not ignored, "the samples of every worker count", f"others for worker {ignored} change nothing; sum over all"
    )


def _processes(build: Build) -> None:
    one = _trained(build, SingleProcess())
    two = [flat for part in on_ranks(2, lambda comm: _trained(build, comm)) for flat in part]
    for id, (ours, theirs) in enumerate(zip(one, two, strict=True)):
        near = torch.allclose(ours, theirs, rtol=0, atol=1e-9)
        fix = f"worker {id} differs by {float((ours - theirs).abs().max()):g}; exchange over comm what is summed here"
        require(near, "simulated workers train as those of several processes", fix)


def _equality(build: Build) -> None:
    sync = _built(build, SingleProcess())
    workers = [_worker(id) for id in sync.local_ids]
    _train(sync, workers, same=False)
    flats = [_flat(worker.model) for worker in workers]
    if not sync.keeps_equal:
        return
    equal = all(torch.equal(flat, flats[0]) for flat in flats)
    require(equal, "keeps_equal: all workers are equal behind every step", "they are not; say False, or sync them")
    with trying("require_equal"):
        sync.require_equal(workers, [7] * _WORKERS)
    try:
        sync.require_equal(workers, [7, 7, 7, 8])
    except RuntimeError:
        return
    raise Violation("broken: require_equal finds a worker that differs; it passed the last of four with another hash")


def _agreement(build: Build) -> None:
    looked, blind = (_built(build, SingleProcess()) for _ in range(2))
    workers, twins = ([_worker(id) for id in looked.local_ids] for _ in range(2))
    _train(blind, twins, same=False)
    agreed = _train(looked, workers, same=False, look=lambda: looked.consensus(workers))
    untouched = all(torch.equal(_flat(a.model), _flat(b.model)) for a, b in zip(workers, twins, strict=True))
    require(untouched, "asking for the consensus changes nothing", "workers train on otherwise; average into a copy")
    with trying("finish"):
        agreed += looked.finish(workers)
    flats = [_flat(worker.model) for worker in workers]
    equal = all(torch.equal(flat, flats[0]) for flat in flats)
    require(equal, "all workers are equal behind the last step", "they are not; exchange what differs in finish")
    samples = _ROUNDS * _WORKERS * _SHARE
    require(agreed == samples, "samples are told once where all agree", f"{agreed} of {samples}")
    consensus = _flat(looked.consensus(workers))
    require(torch.equal(consensus, flats[0]), "the consensus of equal workers is their model", "it is another")


def _state(build: Build) -> None:
    first, second = (_built(build, SingleProcess()) for _ in range(2))
    workers = [_worker(id) for id in first.local_ids]
    _train(first, workers, same=False)
    with trying("state_dict"):
        state: State = copy.deepcopy(first.state_dict())
    require(isinstance(state, dict), "state_dict gives a dict", f"it is {type(state).__name__}")
    twins = copy.deepcopy(workers)
    with trying("load_state_dict"):
        second.load_state_dict(state)
    for sync, each in ((first, workers), (second, twins)):
        _train(sync, each, same=False, first_step=_ROUNDS)
    equal = all(torch.equal(_flat(a.model), _flat(b.model)) for a, b in zip(workers, twins, strict=True))
    require(equal, "a method that was saved and loaded goes on as the other does", "save all that a step depends on")


# --- Helpers -------------------------------------------------------------------------------------------------------


def _built(build: Build, comm: Comm) -> Sync:
    with trying("building it"):
        return build(comm, _WORKERS)


def _worker(id: int) -> Worker:
    noise = torch.Generator().manual_seed(0)  # torch's own stream is shared by the threads that are ranks here
    layers = [nn.utils.skip_init(nn.Linear, *sizes, dtype=torch.float64) for sizes in ((5, 4), (4, 2))]
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=noise) / 2)
    return Worker(id, model, torch.optim.SGD(model.parameters(), _LR), torch.amp.GradScaler("cpu", enabled=False))


def _trained(build: Build, comm: Comm, same: bool = False, workers: int = _WORKERS) -> list[Tensor]:
    """The weights of this process's workers behind some steps, one vector each."""
    sync = build(comm, workers)
    replicas = [_worker(id) for id in sync.local_ids]
    _train(sync, replicas, same)
    return [_flat(worker.model) for worker in replicas]


def _train(
    sync: Sync,
    workers: Sequence[Worker],
    same: bool,
    first_step: int = 0,
    look: Callable[[], object] = bool,
    odd: int | None = None,
) -> int:
    """Steps as the loop takes them; each worker has samples of its own, `odd` others than usual, or all have the same.

    Returns:
        The samples that the method has told.
    """
    agreed = 0
    for step in range(first_step, first_step + _ROUNDS):
        sums, denominators = [], []
        for worker in workers:
            noise = torch.Generator().manual_seed(step if same else 100 * worker.id + step + 7000 * (worker.id == odd))
            inputs = torch.randn(_SHARE, 5, dtype=torch.float64, generator=noise)
            worker.optimizer.zero_grad(set_to_none=True)
            loss = (worker.model(inputs) ** 2).sum()
            denominators.append(sync.denominator(sync.workers * _SHARE, _SHARE))
            (loss / denominators[-1]).backward()
            sums.append(torch.tensor([float(_SHARE)], dtype=torch.float64))
        total = float(sync.reduce_totals(sums))
        require(total == sync.workers * _SHARE, "totals are summed over all workers", f"a step of {total:g} samples")
        sync.sync_gradients(workers)
        for worker in workers:
            worker.optimizer.step()
        agreed += sync.sync_parameters(workers, _point(step, sync.workers, len(workers)))
        look()
    return agreed


def _point(step: int, workers: int, local: int) -> SyncPoint:
    """Behind a step, in a run as long as two trainings."""
    progress, samples = (step + 1) / (2 * _ROUNDS), workers * _SHARE
    return SyncPoint(step + 1, progress, 2, 2 * progress, _LR, 1.0, samples, [_SHARE] * local, [False] * local)


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])
