"""`LocalSGD` in a loop of one's own: what the run's engine does, alone and on several processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.errors import UsageError
from fewer.sync import LocalSGD
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks
from local_workers import SHARE, batch, flat, net, sync_of, train, workers_of


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def _loop(comm: Any, steps: int, keys: dict[str, Any], stop: int = 0) -> tuple[list[float], list[bool], float]:
    """A loop that may be stopped inside a round, and goes on from what it saved."""
    torch.manual_seed(comm.rank if comm else 0)  # LocalSGD brings all to the weights of process 0
    model = net() if not comm or not comm.rank else torch.nn.Sequential(*net()).double().apply(_spoil)
    optimizer = sgd(model.parameters())
    sync = LocalSGD(model, optimizer, **keys)
    agreed = []
    for step in range(steps):
        optimizer.zero_grad()
        ((model(batch(step, comm.rank if comm else 0)) ** 2).sum() / SHARE).backward()
        optimizer.step()
        agreed.append(sync.step(samples=SHARE))
        if step + 1 == stop:
            state = {name: value.state_dict() for name, value in (("sync", sync), ("m", model), ("o", optimizer))}
            model = net()
            optimizer = sgd(model.parameters())
            sync = LocalSGD(model, optimizer, **keys)
            model.load_state_dict(state["m"])
            optimizer.load_state_dict(state["o"])
            sync.load_state_dict(state["sync"])
    mean = float(flat(sync.consensus()).sum())
    sync.finish()
    assert flat(model).sum() == pytest.approx(mean) or "method" in keys
    return flat(model).tolist(), agreed, mean


def _spoil(module: Any) -> None:
    for parameter in module.parameters(recurse=False):
        torch.nn.init.normal_(parameter)


@pytest.mark.parametrize("keys", [{}, {"method": "slowmo", "beta": 0.5}, {"method": "diloco", "payload": "int8"}])
def test_two_processes_train_as_simulated_workers_do(keys: dict[str, Any]) -> None:
    found = on_ranks(2, _loop, 10, {"every_steps": 4, **keys})
    assert found[0] == found[1]
    assert found[0][1] == [False, False, False, True] * 2 + [False, False]
    method = keys.get("method", "local_sgd")
    simulated = _simulated(method, {key: value for key, value in keys.items() if key != "method"})
    torch.testing.assert_close(torch.tensor(found[0][0]), torch.tensor(simulated), rtol=0, atol=1e-12)


def _simulated(method: str, keys: dict[str, Any]) -> list[float]:
    sync = sync_of(method, workers=2, every_steps=4, **keys)
    workers = workers_of(sync, net(), sgd)
    train(sync, workers, steps=range(10), lr=lambda step: 0.05)
    sync.finish(workers)
    found: list[float] = flat(workers[0].model).tolist()
    return found


def test_it_goes_on_inside_a_round() -> None:
    keys = {"every_steps": 4, "method": "slowmo", "payload": "bf16"}
    assert on_ranks(2, _loop, 10, keys, 6) == on_ranks(2, _loop, 10, keys)


def _skipping(comm: Any, every_steps: int, keys: dict[str, Any]) -> list[float]:
    """Two steps, of which process 1 skips all of the first round, as a GradScaler may."""
    model = net()
    optimizer = sgd(model.parameters())
    sync = LocalSGD(model, optimizer, every_steps=every_steps, **keys)
    for step in range(2):
        optimizer.zero_grad()
        ((model(batch(step, comm.rank)) ** 2).sum() / SHARE).backward()
        if comm.rank == 0 or step >= every_steps:
            optimizer.step()
        sync.step(samples=SHARE)
    return flat(model).tolist()


@pytest.mark.parametrize("keys", [{}, {"method": "slowmo"}, {"payload": "int8"}])
@pytest.mark.parametrize("every_steps", [1, 2])
def test_a_process_that_skips_a_whole_round_takes_part_in_its_sync(every_steps: int, keys: dict[str, Any]) -> None:
    one, other = on_ranks(2, _skipping, every_steps, keys)
    assert one == other
    if every_steps == 2 and not keys:
        alone, start = _loop(None, 2, {"every_steps": 2})[0], flat(net())
        torch.testing.assert_close(torch.tensor(one), (torch.tensor(alone) + start.float()) / 2)


def test_a_round_without_samples_weighs_all_alike() -> None:
    model = net()
    before, sync = flat(model), LocalSGD(model, sgd(model.parameters()), every_steps=1)
    assert sync.step(samples=0), "all hold the same weights"
    assert torch.equal(flat(model), before)


def _lengths(comm: Any) -> list[int]:
    model = net()
    optimizer = sgd(model.parameters())
    sync, found = LocalSGD(model, optimizer, schedule="adacomm", every_steps=6), []
    for step in range(40):
        optimizer.zero_grad()
        ((model(batch(step, comm.rank)) ** 2).sum() / SHARE).backward()
        optimizer.step()
        few = comm.rank and step % 5 == 0
        sync.step(samples=SHARE // 4 if few else SHARE, loss=2.0**-step, progress=step / 40, epochs=10)
        found.append(sync.steps_left)
    return found


def test_processes_with_unequal_parts_choose_rounds_alike() -> None:
    one, other = on_ranks(2, _lengths)
    assert one == other
    assert len(set(one)) > 2


def test_alone_it_is_the_plain_loop() -> None:
    model = net()
    optimizer = sgd(model.parameters())
    for step in range(6):
        optimizer.zero_grad()
        ((model(batch(step, 0)) ** 2).sum() / SHARE).backward()
        optimizer.step()
    weights, agreed, _ = _loop(None, 6, {"every_steps": 3})
    assert weights == flat(model).tolist()
    assert agreed == [False, False, True] * 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "post_local"}, "exchanges gradients"),
        ({"method": "locale_sgd"}, 'no sync method "locale_sgd"; did you mean "local_sgd"'),
        ({"every_steps": 0}, "sync.every_steps = 0"),
        ({"every_step": 4}, r"unknown key .sync\.every_step.; did you mean .sync\.every_steps"),
        ({"payload": "int5"}, 'unknown sync.payload "int5"'),
        ({"beta": 0.5}, 'unknown key "sync.beta"; allowed: sync.every_steps'),
    ],
)
def test_what_cannot_be_meant_is_refused(keys: dict[str, Any], message: str) -> None:
    model = net()
    with pytest.raises(UsageError, match=message):
        LocalSGD(model, sgd(model.parameters()), **keys)
