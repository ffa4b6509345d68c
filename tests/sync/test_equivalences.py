"""What local methods equal in theory, in float64 over 20 steps; and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from local_workers import gap, net, of_whole_batch, sync_of, train, trained, workers_of

EXACT = 1e-13  # sums in another order
Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def sgd(**keys: Any) -> Build:
    return lambda parameters: torch.optim.SGD(parameters, lr=0.05, **keys)


def adamw(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.05)


LINEAR = {
    "sgd": sgd(),
    "momentum and decay": sgd(momentum=0.9, weight_decay=0.01),
    "nesterov and decay": sgd(momentum=0.9, nesterov=True, weight_decay=0.01),
}


@pytest.mark.parametrize("inner_state", ["kept", "averaged"])
@pytest.mark.parametrize("name", LINEAR)
def test_a_sync_a_step_is_the_whole_batch(name: str, inner_state: str) -> None:
    """Although no momentum is ever sent where it is kept."""
    found = trained("local_sgd", LINEAR[name], every_steps=1, inner_state=inner_state)
    assert gap(found, of_whole_batch(net(), LINEAR[name])) < EXACT


def test_unequal_shares_are_weighted_by_their_samples() -> None:
    def share(step: int, worker: int) -> int:
        return (worker + step) % 4  # one of four has none

    sync = sync_of("local_sgd", every_steps=1)
    workers = workers_of(sync, net(), sgd())
    train(sync, workers, share=share)
    assert (
        gap(
            torch.cat([p.detach().flatten() for p in workers[0].model.parameters()]),
            of_whole_batch(net(), sgd(), share=share),
        )
        < EXACT
    )


@pytest.mark.parametrize("inner", ["adamw", "batchnorm"])
def test_what_is_not_linear_is_not_the_whole_batch(inner: str) -> None:
    """So that nobody claims it, and so that these tests can fail."""
    build = adamw if inner == "adamw" else sgd()
    model = net(*([nn.BatchNorm1d(6)] if inner == "batchnorm" else []))
    assert gap(trained("local_sgd", build, model, every_steps=1), of_whole_batch(model, build)) > 1e-4
