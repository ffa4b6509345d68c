"""Synchronous steps: K simulated workers are K processes are one, and whoever differs is found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fewer.core.types import Worker
from fewer.sync.comm import SingleProcess
from fewer.sync.methods.every_step import EveryStep, Params, build
from fewer.testing.harness import interrupted, one_thread, session_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 24, "lr": 0.05, "precision": "fp64", "ema": "0.5ep", "accumulate": 2, "clip_norm": 1.0},
    "select": {"method": "dbpd", "score": "fresh", "threshold": 0.11},
    "stages": [{"epochs": 2, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def simulated(workers: int, **changes: Any) -> dict[str, Any]:
    return {**CONTENT, **changes, "sync": {"workers": workers}}


def parameters(session: Any) -> list[Tensor]:
    return [p.detach() for p in session.run.workers[0].model.parameters()]


def _weights_and_digest(comm: Any, content: dict[str, Any]) -> tuple[str, int]:
    session = trained(content, comm)
    return weights(session), int(session.run.selection.table.visits_N.sum())


def _flat_parameters(comm: Any, content: dict[str, Any]) -> list[float]:
    flat: list[float] = torch.cat([p.flatten() for p in parameters(trained(content, comm))]).tolist()
    return flat


def test_four_simulated_workers_are_one() -> None:
    one, four = trained(CONTENT), trained(simulated(4))
    assert [worker.id for worker in four.run.workers] == [0, 1, 2, 3]
    for ours, theirs in zip(parameters(one), parameters(four), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert torch.equal(one.run.selection.table.visits_N, four.run.selection.table.visits_N)
    for worker in four.run.workers[1:]:
        for ours, theirs in zip(parameters(four), worker.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_two_simulated_workers_are_two_processes_bit_for_bit() -> None:
    """With BatchNorm and dropout-like seeds, too: all that a worker draws depends on its number."""
    content = simulated(2, model={"name": "cnn", "width": 0.1})
    session = trained(content)
    answers = on_ranks(2, _weights_and_digest, {**content, "sync": {"batchnorm": "local"}})
    assert answers == [(weights(session), int(session.run.selection.table.visits_N.sum()))] * 2


def test_two_processes_may_simulate_four_workers() -> None:
    """Equal but for the order in which four gradients are added."""
    ours = torch.cat([p.flatten() for p in parameters(trained(simulated(4)))]).tolist()
    for theirs in on_ranks(2, _flat_parameters, simulated(4)):
        assert theirs == pytest.approx(ours, abs=1e-9)


def test_simulated_workers_resume_bit_for_bit() -> None:
    content = simulated(2)
    assert interrupted(content, [3, 8]).run.digest() == trained(content).run.digest()


def test_a_worker_that_differs_is_found_whichever_it_is() -> None:
    session = session_of(simulated(3))
    rows = train(session.task, session.train_data, session.run)
    next(rows)
    with torch.no_grad():
        next(session.run.workers[2].model.parameters()).add_(0.175)
    with pytest.raises(RuntimeError, match="workers hold different weights"):
        list(rows)


def test_buffers_are_averaged_and_gradients_summed() -> None:
    from fewer.core.types import Worker

    def worker(id: int) -> Worker:
        model = torch.nn.BatchNorm1d(1)
        assert model.running_mean is not None
        model.running_mean += id
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, float(id + 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        return Worker(id, model, optimizer, torch.amp.GradScaler("cpu", enabled=False))

    workers = [worker(id) for id in range(3)]
    sync = EveryStep(SingleProcess(), 3)
    sync.sync_gradients(workers)
    for each in workers:
        assert [float(p.grad) for p in each.model.parameters() if p.grad is not None] == [6.0, 6.0]
        assert float(each.model.running_mean) == 1.0
    assert float(sync.reduce_totals([torch.tensor([1.0]), torch.tensor([2.0])])) == 3.0


def test_statistics_of_frozen_norms_are_not_averaged() -> None:
    """The mean of three equal numbers may differ from them in the last digit."""
    torch.manual_seed(0)
    frozen, trained_norm = torch.nn.BatchNorm1d(500), torch.nn.BatchNorm1d(500)
    frozen.running_mean, trained_norm.running_mean = torch.rand(500), torch.rand(500)
    model = torch.nn.Sequential(frozen.eval(), trained_norm)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    workers = [
        Worker(id, copied, torch.optim.SGD(copied.parameters(), 0.1), scaler)
        for id, copied in enumerate(copy.deepcopy(model) for _ in range(3))
    ]
    EveryStep(SingleProcess(), 3).sync_buffers(workers)
    for worker in workers:
        kept, averaged = (layer.running_mean for layer in worker.model.children())
        assert torch.equal(kept, frozen.running_mean)
        assert torch.allclose(averaged, trained_norm.running_mean)
        assert not torch.equal(averaged, trained_norm.running_mean), "else this test could not fail"


@pytest.mark.parametrize(("name", "bits"), [("bf16", 8), ("fp16", 11)])
def test_gradients_are_sent_in_half_the_bytes(name: str, bits: int) -> None:
    """Sums are right to the bits that are sent, and statistics stay exact."""

    def sent(gradients: str) -> tuple[list[Tensor], list[Tensor], int]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(40, 50), torch.nn.BatchNorm1d(50))
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        workers = [
            Worker(id, each, torch.optim.SGD(each.parameters(), 0.1), scaler)
            for id, each in enumerate(copy.deepcopy(model) for _ in range(2))
        ]
        for worker in workers:
            for parameter in worker.model.parameters():
                parameter.grad = torch.rand(parameter.shape) + 0.5
            worker.model[1].running_mean += 0.1 * worker.id
        comm = SingleProcess()
        comm.machines = 2
        build(Params(gradients=gradients), comm, 2).sync_gradients(workers)
        grads = [p.grad for worker in workers for p in worker.model.parameters() if p.grad is not None]
        return grads, list(workers[1].model.buffers()), comm.take_bytes_sent()

    (whole, statistics, before), (half, kept, after) = sent("fp32"), sent(name)
    for ours, theirs in zip(half, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2.0 ** (1 - bits), atol=0)
        assert not torch.equal(ours, theirs)
    assert all(map(torch.equal, kept, statistics))
    numbers, others = 40 * 50 + 3 * 50, 101
    assert (before, after) == (2 * 4 * (numbers + others), 2 * (2 * numbers + 4 * others))


def test_bf16_gradients_are_the_same_on_processes_and_on_simulated_workers() -> None:
    content = simulated(2)
    content["sync"] = {"workers": 2, "gradients": "bf16"}
    session = trained(content)
    assert weights(session) != weights(trained(simulated(2)))
    assert [found for found, _ in on_ranks(2, _weights_and_digest, content)] == [weights(session)] * 2
