"""Post-local SGD: the whole batch until the switch, local steps behind it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fewer.core.clock import Duration
from local_workers import STEPS, flat, gap, lr_of, net, of_whole_batch, sync_of, train, workers_of


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def spread(lr: Any = lr_of, **keys: Any) -> list[bool]:
    """Behind which steps the workers differed."""
    sync = sync_of("post_local", every_steps=4, **keys)
    workers = workers_of(sync, net(), sgd)
    found: list[bool] = []

    def after(step: int) -> None:
        found.append(any(not torch.equal(flat(w.model), flat(workers[0].model)) for w in workers))

    train(sync, workers, lr=lr, after=after)
    return found


def test_the_first_round_has_all_its_steps() -> None:
    """Syncs lie 4, 8, ... steps behind the switch, not one."""
    assert spread(switch="50%") == [False] * 10 + [True, True, True, False] * 2 + [True, True]


def test_a_rate_that_has_fallen_is_a_moment_too() -> None:
    found = spread(lambda step: 0.1 if step < 6 else 0.01, switch="100%", switch_lr=0.5)
    assert found[:12] == [False] * 7 + [True, True, True, False, True]


def test_before_the_switch_it_is_the_whole_batch() -> None:
    sync = sync_of("post_local", every_steps=4, switch="100%")
    workers = workers_of(sync, net(), sgd)
    told = train(sync, workers)
    assert gap(flat(workers[0].model), of_whole_batch(net(), sgd)) < 1e-14
    assert told == [12] * STEPS


def test_from_the_start_it_is_local_sgd() -> None:
    sync, local = sync_of("post_local", every_steps=4, switch="0%"), sync_of("local_sgd", every_steps=4)
    ours, theirs = workers_of(sync, net(), sgd), workers_of(local, net(), sgd)
    train(sync, ours)
    train(local, theirs)
    assert torch.equal(flat(ours[0].model), flat(theirs[0].model))


def test_the_switch_is_saved() -> None:
    """A resumed run stays local where it was, and does not begin its rounds again."""
    sync, workers = sync_of("post_local", every_steps=4, switch="50%"), None
    workers = workers_of(sync, net(), sgd)
    train(sync, workers, steps=range(12))
    other = sync_of("post_local", every_steps=4, switch="50%")
    other.load_state_dict(sync.state_dict())
    assert train(other, workers, steps=range(12, 16)) == [0, 48, 0, 0]


@pytest.mark.parametrize("moment", ["5step", "3min"])
def test_the_moment_must_be_known_beforehand(moment: str) -> None:
    from fewer.core.errors import RecipeError
    from fewer.recipe.parse import parse_recipe

    content = {
        "data": {"source": "digits"},
        "model": {"name": "lenet5"},
        "sync": {"method": "post_local", "switch": moment},
    }
    with pytest.raises(RecipeError, match='only "ep" and "%" are known before training'):
        parse_recipe(content)
    assert Duration.parse(moment).value


def test_the_moment_is_one_of_the_schedule_where_the_run_ends_early() -> None:
    """Patience ends a run of eight epochs behind the third: the schedule goes to its end, past epoch 5 of 8."""
    from fewer.core.types import SyncPoint

    sync = sync_of("post_local", every_steps=4, switch="5ep")
    workers = workers_of(sync, net(), sgd)
    for step, progress in enumerate((0.2, 0.4, 0.6, 0.7)):
        assert sync.sync_parameters(workers, SyncPoint(step + 1, progress, 8, 1.0, 0.1, 1.0, 12, [3] * 4, [False] * 4))
    assert sync.denominator(12, 3) == 3, "each worker's own, as in local steps"
