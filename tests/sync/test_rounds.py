"""The engine of local methods: what a sync keeps as it is, who is left out, what is sent, and how a round resumes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from fewer.core.errors import DivergedError
from fewer.core.types import SyncPoint
from fewer.sync.comm import SingleProcess
from fewer.sync.exchange import weighted_mean
from local_workers import SHARE, STEPS, WORKERS, flat, net, sync_of, train, workers_of


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def started(model: nn.Module | None = None, **keys: Any) -> tuple[Any, list[Any]]:
    sync = sync_of("local_sgd", **{"every_steps": 4, **keys})
    return sync, workers_of(sync, model or net(), sgd)


def are_equal(workers: list[Any]) -> bool:
    return all(torch.equal(flat(worker.model), flat(workers[0].model)) for worker in workers)


def test_workers_agree_behind_every_fourth_step_and_tell_the_samples_since() -> None:
    sync, workers = started()
    equal: list[bool] = []
    told = train(sync, workers, after=lambda step: equal.append(are_equal(workers)))
    assert equal == [(step + 1) % 4 == 0 for step in range(STEPS)]
    assert told == [4 * WORKERS * SHARE if each else 0 for each in equal]
    assert sync.finish(workers) == 0


def test_a_flush_ends_a_round_that_has_begun() -> None:
    sync, workers = started()
    train(sync, workers, steps=range(6))
    assert not are_equal(workers)
    assert sync.finish(workers) == 2 * WORKERS * SHARE
    assert are_equal(workers)


def test_memory_format_and_addresses_stay() -> None:
    model = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).double().to(memory_format=torch.channels_last)
    )
    sync, workers = started(model)
    weight = workers[1].model[0].weight
    address, stride = weight.data_ptr(), weight.stride()
    for worker in workers:
        worker.model(torch.randn(2, 3, 3, 3, dtype=torch.float64)).sum().backward()
        worker.optimizer.step()
    sync.sync_gradients(workers)
    _step(sync, workers, 4)
    assert are_equal(workers)
    assert (weight.data_ptr(), weight.stride()) == (address, stride)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous(), "else this test could not fail"


def _step(sync: Any, workers: list[Any], times: int) -> None:
    """Syncs as behind so many steps."""
    for step in range(times):
        point = SyncPoint(
            step + 1, 0.1, 1, 0.1, 0.05, 1.0, len(workers) * SHARE, [SHARE] * len(workers), [False] * len(workers)
        )
        sync.sync_parameters(workers, point)


def test_a_parameter_that_no_step_has_used_is_averaged_with_the_others() -> None:
    """Parameters count that are trained, not those that happen to have a gradient on a worker."""
    sync, workers = started()
    sync.sync_gradients(workers)
    with torch.no_grad():
        for worker in workers:
            worker.model[2].bias += worker.id
    _step(sync, workers, 4)
    torch.testing.assert_close(workers[3].model[2].bias, net()[2].bias + 1.5)


def test_what_is_frozen_is_not_touched() -> None:
    sync, workers = started()
    for worker in workers:
        worker.model[0].requires_grad_(False)
    before = workers[0].model[0].weight.clone()
    train(sync, workers)
    assert torch.equal(workers[2].model[0].weight, before)


def test_statistics_are_those_of_all_samples() -> None:
    """The pooled variance holds what the workers' means differ by."""
    sync, workers = started(net(nn.BatchNorm1d(6)))
    sync.sync_gradients(workers)
    inputs = [torch.randn(50, 6, dtype=torch.float64) * (1 + worker.id) + 3 * worker.id for worker in workers]
    for worker, seen in zip(workers, inputs, strict=True):
        norm = worker.model[1]
        norm.running_mean.copy_(seen.mean(0))
        norm.running_var.copy_(seen.var(0, unbiased=False))
        norm.num_batches_tracked += worker.id
    _step(sync, workers, 4)
    for worker in workers:
        torch.testing.assert_close(worker.model[1].running_mean, torch.cat(inputs).mean(0))
        torch.testing.assert_close(worker.model[1].running_var, torch.cat(inputs).var(0, unbiased=False))
        assert int(worker.model[1].num_batches_tracked) == 3


def test_statistics_of_frozen_norms_stay() -> None:
    sync, workers = started(net(nn.BatchNorm1d(6)))
    for worker in workers:
        worker.model[1].eval()
        worker.model[1].running_mean.fill_(0.1)
    train(sync, workers)
    assert torch.equal(workers[1].model[1].running_mean, torch.full((6,), 0.1, dtype=torch.float64))


def test_the_consensus_is_the_mean_of_now() -> None:
    sync, workers = started(net(nn.BatchNorm1d(6)))
    train(sync, workers, steps=range(6))
    mean = torch.stack([flat(worker.model) for worker in workers]).mean(0)
    torch.testing.assert_close(flat(sync.consensus(workers)), mean, rtol=0, atol=1e-15)
    assert not are_equal(workers)


def _spoil(worker: Any) -> None:
    with torch.no_grad():
        next(worker.model.parameters()).fill_(torch.nan)


def test_a_worker_that_is_not_finite_ends_the_run() -> None:
    sync, workers = started()
    train(sync, workers, steps=range(3))
    _spoil(workers[2])
    with pytest.raises(DivergedError, match=r"1 of 4 workers are not finite behind 4 local steps.*on_nonfinite"):
        train(sync, workers, steps=range(3, 4))


def test_or_it_is_left_out_and_goes_on_with_the_mean_of_the_others() -> None:
    sync, workers = started(on_nonfinite="exclude")
    train(sync, workers, steps=range(3))
    _spoil(workers[2])
    _step(sync, workers[:], 1)
    mean = torch.stack([flat(worker.model) for worker in workers]).mean(0)
    assert are_equal(workers)
    assert mean.isfinite().all()
    assert sync.take_report()["sync_excluded"] == 1
    assert not workers[2].optimizer.state
    assert workers[1].optimizer.state
    for worker in workers:
        _spoil(worker)
    with pytest.raises(DivergedError, match="4 of 4"):
        _step(sync, workers, 4)


def test_the_mean_leaves_it_out_by_samples() -> None:
    sync, workers = started(on_nonfinite="exclude")
    sync.sync_gradients(workers)
    with torch.no_grad():
        for worker in workers:
            for parameter in worker.model.parameters():
                parameter.fill_(worker.id)
    _spoil(workers[0])
    _step(sync, workers, 4)
    assert flat(workers[0].model).unique().tolist() == pytest.approx([2.0])


def test_the_report_says_how_far_apart_the_workers_were() -> None:
    sync, workers = started()
    sync.sync_gradients(workers)
    with torch.no_grad():
        for worker in workers:
            for parameter in worker.model.parameters():
                parameter.fill_(1.0 + worker.id)
    _step(sync, workers, 4)
    report = sync.take_report()
    assert report == {"sync_steps": 4, "sync_distance": pytest.approx((1.25**0.5) / 2.5)}
    assert sync.take_report() == {}


@pytest.mark.parametrize("numbers", [1, 40, 10_000])
def test_several_buckets_bring_back_all(numbers: int) -> None:
    vectors_L = [
        {place: torch.full((rows, 6), float(worker), dtype=torch.float64) for place, rows in enumerate((3, 1, 9))}
        for worker in range(4)
    ]
    means = weighted_mean(SingleProcess(), vectors_L, [0.25] * 4, numbers)
    assert [mean.shape for mean in means.values()] == [(3, 6), (1, 6), (9, 6)]
    assert all(bool((mean == 1.5).all()) for mean in means.values())


def test_bytes_are_those_of_the_formula() -> None:
    """2 (K - 1) / K of the weights a worker and round; the rest is a few numbers."""
    comm = SingleProcess()
    comm.machines = WORKERS
    sync = sync_of("local_sgd", comm, every_steps=4)
    workers = workers_of(sync, net(), sgd)
    train(sync, workers)
    rounds = STEPS // 4
    weights = 2 * (WORKERS - 1) * 8 * sum(p.numel() for p in net().parameters())
    numbers = 2 * (WORKERS - 1) * 8 * (3 + 2)
    assert comm.take_bytes_sent() == rounds * (weights + numbers)


@pytest.mark.parametrize("inner_state", ["kept", "averaged", "reset"])
def test_what_becomes_of_the_state_of_the_inner_optimizer(inner_state: str) -> None:
    sync, workers = started(inner_state=inner_state)
    before: list[Any] = []

    def after(step: int) -> None:
        if step == 2:
            before.extend(copy.deepcopy(_momenta(worker)) for worker in workers)

    train(sync, workers, steps=range(4), after=after)
    behind = [_momenta(worker) for worker in workers]
    if inner_state == "reset":
        assert behind == [None] * 4
    elif inner_state == "kept":
        assert not torch.equal(behind[0], behind[1])
    else:
        assert all(torch.equal(each, behind[0]) for each in behind)


def _momenta(worker: Any) -> Any:
    state = worker.optimizer.state.get(next(worker.model.parameters()))
    return state["momentum_buffer"] if state else None
