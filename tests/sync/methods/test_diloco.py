"""DiLoCo: local SGD at rate 1 without momentum, SlowMo in its heavy-ball form, Nesterov's by torch."""

from __future__ import annotations

import torch
from torch import nn

from fewer.sync.methods.diloco import OuterSgd
from local_workers import flat, gap, net, of_whole_batch, sync_of, train, trained, workers_of


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def test_rate_one_without_momentum_is_local_sgd() -> None:
    found = trained("diloco", sgd, outer_lr=1.0, outer_momentum=0.0)
    assert gap(found, trained("local_sgd", sgd)) < 1e-14


def test_heavy_ball_at_a_constant_rate_is_slowmo() -> None:
    found = []
    for method, keys in {
        "diloco": {"outer_lr": 1.0, "outer_momentum": 0.6, "outer_nesterov": False},
        "slowmo": {"beta": 0.6},
    }.items():
        sync = sync_of(method, every_steps=4, **keys)
        workers = workers_of(sync, net(), sgd)
        train(sync, workers, lr=lambda step: 0.05)
        found.append(flat(workers[0].model))
    assert gap(*found) < 1e-14


def test_one_worker_at_rate_one_without_momentum_is_plain() -> None:
    found = trained("diloco", sgd, workers=1, outer_lr=1.0, outer_momentum=0.0, every_steps=4)
    assert gap(found, of_whole_batch(net(), sgd, workers=1)) < 1e-14


def test_outer_steps_are_those_of_torch() -> None:
    outer, weight = OuterSgd(0.7, 0.9, True), nn.Parameter(torch.randn(5, dtype=torch.float64))
    reference = torch.optim.SGD([weight], lr=0.7, momentum=0.9, nesterov=True)
    ours = weight.detach().clone()
    for _ in range(4):
        mean = torch.randn(5, dtype=torch.float64)
        weight.grad = weight.detach() - mean
        reference.step()
        ours = outer.update({0: ours}, {0: mean}, {0: 0.1})[0]
        torch.testing.assert_close(ours, weight.detach(), rtol=0, atol=1e-14)
