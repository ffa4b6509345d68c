"""SlowMo: local SGD without momentum, heavy ball with a round a step, and a rate that ends at zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from local_workers import STEPS, flat, gap, lr_of, net, of_whole_batch, sync_of, train, trained, workers_of


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05)


def heavy_ball(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def test_without_momentum_it_is_local_sgd() -> None:
    assert gap(trained("slowmo", heavy_ball, beta=0.0), trained("local_sgd", heavy_ball)) < 1e-14


def test_a_round_a_step_is_heavy_ball_on_the_whole_batch() -> None:
    """Under a rate that changes, too: that is what the division by it is for in the paper."""
    assert gap(trained("slowmo", sgd, every_steps=1, beta=0.9), of_whole_batch(net(), heavy_ball)) < 1e-13


def test_one_worker_without_momentum_is_plain_or_lookahead() -> None:
    plain = of_whole_batch(net(), heavy_ball, workers=1)
    assert gap(trained("slowmo", heavy_ball, workers=1, beta=0.0, every_steps=4), plain) < 1e-14
    halfway = trained("slowmo", heavy_ball, workers=1, beta=0.0, alpha=0.5, every_steps=STEPS)
    torch.testing.assert_close(halfway, (flat(net()) + plain) / 2, rtol=0, atol=1e-14)


@pytest.mark.parametrize("zero_at", [range(16, 20), range(8, 12)])
def test_a_rate_of_zero_divides_nothing(zero_at: range) -> None:
    sync = sync_of("slowmo", every_steps=4, beta=0.5)
    workers = workers_of(sync, net(), sgd)
    train(sync, workers, lr=lambda step: 0.0 if step in zero_at else lr_of(step))
    assert flat(workers[0].model).isfinite().all()


def test_each_group_has_its_own_rate() -> None:
    """A group whose rate stays keeps its momentum whole, though another's rate falls."""

    def groups(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.01}], lr=0.05)

    sync = sync_of("slowmo", every_steps=1, beta=0.9)
    workers = workers_of(sync, net(), groups)
    whole = net()
    reference = torch.optim.SGD(
        [{"params": list(whole.parameters())[:2]}, {"params": list(whole.parameters())[2:]}], lr=0.05, momentum=0.9
    )
    from fewer.core.types import SyncPoint
    from local_workers import SHARE, WORKERS, batch

    for step in range(6):
        rates = (0.05 / (step + 1), 0.01)
        for worker in workers:
            for group, rate in zip(worker.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            worker.optimizer.zero_grad()
            ((worker.model(batch(step, worker.id)) ** 2).sum() / SHARE).backward()
        sync.sync_gradients(workers)
        for worker in workers:
            worker.optimizer.step()
        sync.sync_parameters(
            workers, SyncPoint(step + 1, 0.1, 1, 0.1, rates[0], 1.0, WORKERS * SHARE, [SHARE] * 4, [False] * 4)
        )
        for group, rate in zip(reference.param_groups, rates, strict=True):
            group["lr"] = rate
        reference.zero_grad()
        inputs = torch.cat([batch(step, id) for id in range(WORKERS)])
        ((whole(inputs) ** 2).sum() / len(inputs)).backward()
        reference.step()
    assert gap(flat(workers[0].model), flat(whole)) < 1e-13
