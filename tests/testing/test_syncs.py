"""The conformance kit of sync methods: ours pass, and each broken promise is named."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewer.core.protocols import Comm
from fewer.core.sections import section_of
from fewer.core.types import SyncPoint, Worker
from fewer.sync.methods import SYNC_METHODS
from fewer.sync.methods.every_step import EveryStep
from fewer.testing import Violation, check_sync


class Plain:
    """Every-step synchronisation over its own code, to be broken in one place at a time."""

    keeps_equal = True

    def __init__(self, comm: Comm, workers: int) -> None:
        self.inner, self.comm, self.workers = EveryStep(comm, workers), comm, workers
        self.local_ids: Sequence[int] = self.inner.local_ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Averaging(Plain):
    """A local method: workers step alone, and take the mean of their weights behind every second step."""

    keeps_equal = False

    samples = 0

    def denominator(self, of_all: float, of_worker: float) -> float:
        return of_worker

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        return

    def sync_parameters(self, workers: Sequence[Worker], at: SyncPoint) -> int:
        self.samples += at.samples
        return 0 if at.step % 2 else self.finish(workers)

    def finish(self, workers: Sequence[Worker]) -> int:
        self.average(workers)
        agreed, self.samples = self.samples, 0
        return agreed

    @torch.no_grad()
    def average(self, workers: Sequence[Worker]) -> None:
        for parts in zip(*(worker.model.parameters() for worker in workers), strict=True):
            mean = torch.stack([part.detach() for part in parts]).sum(0)
            self.comm.all_reduce(mean)
            for part in parts:
                part.copy_(mean / self.workers)

    def consensus(self, workers: Sequence[Worker]) -> nn.Module:
        copies = copy.deepcopy(workers)
        self.average(copies)
        return copies[0].model


@pytest.mark.parametrize("name", SYNC_METHODS.names())
def test_our_methods_keep_all_promises(name: str) -> None:
    module = SYNC_METHODS.module(name)
    check_sync(lambda comm, workers: module.build(section_of(module.Params), comm, workers))


def test_a_local_method_may_keep_them_too() -> None:
    check_sync(Plain)
    check_sync(Averaging)


def summed_here(self: Any, sums_L: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(sums_L)).sum(0)


def averaged_here(self: Any, workers: Sequence[Worker]) -> None:
    EveryStep(self.comm, self.workers)
    for parts in zip(*(worker.model.parameters() for worker in workers), strict=True):
        total = torch.stack([part.grad for part in parts if part.grad is not None]).sum(0)
        for part in parts:
            part.grad = total.clone()


def counted(self: Any, workers: Sequence[Worker], at: SyncPoint) -> int:
    self.steps = getattr(self, "steps", 0) + 1
    for worker in workers:
        for parameter in worker.model.parameters():
            parameter.data.mul_(1 - 0.01 * self.steps)
    return at.samples


def averaged_in_place(self: Any, workers: Sequence[Worker]) -> nn.Module:
    self.average(workers)
    return workers[0].model


def doubled(self: Any, workers: Sequence[Worker]) -> nn.Module:
    return nn.Linear(2, 2, dtype=torch.float64)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "ids": ({"local_ids": [0, 1, 2, 3]}, "workers are numbered over the processes"),
    "totals": ({"reduce_totals": summed_here}, "totals are summed over all workers"),
    "denominator": ({"denominator": lambda self, whole, own: own}, "workers with the same samples train as one"),
    "alone": ({"sync_gradients": averaged_here}, "simulated workers train as those of several processes"),
    "equal": (
        {"sync_gradients": lambda self, workers: None, "denominator": lambda self, whole, own: own},
        "keeps_equal: all workers are equal",
    ),
    "consensus": ({"consensus": doubled}, "the consensus of equal workers is their model"),
    "untouched": ({"consensus": averaged_in_place}, "asking for the consensus changes nothing"),
    "finish": ({"finish": lambda self, workers: 0}, "all workers are equal behind the last step"),
    "samples": ({"sync_parameters": lambda self, workers, at: 0}, "samples are told once where all agree"),
    "hashes": ({"require_equal": lambda self, workers, digests: None}, "require_equal finds a worker that differs"),
    "raising": ({"reduce_totals": lambda self, sums: 1 / 0}, "reduce_totals raised ZeroDivisionError"),
    "state": ({"state_dict": lambda self: []}, "state_dict gives a dict"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_promise_is_named(name: str) -> None:
    changes, message = BROKEN[name]
    broken = type("Broken", (Averaging if name in ("untouched", "finish") else Plain,), changes)
    if "local_ids" in changes:
        broken = type("Broken", (Plain,), {"__setattr__": fixed_ids})
    with pytest.raises(Violation, match=message):
        check_sync(broken)


def fixed_ids(self: Any, name: str, value: Any) -> None:
    object.__setattr__(self, name, [0, 1, 2, 3] if name == "local_ids" else value)


def test_a_method_that_forgets_is_found() -> None:
    class Forgetful(Averaging):
        sync_parameters = counted

    with pytest.raises(Violation, match=r"saved and loaded goes on|train as one"):
        check_sync(Forgetful)
