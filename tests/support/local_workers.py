"""Workers of a small net in float64, trained by a sync method without the rest of a run; and one on the whole batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fewer.core.sections import section_of
from fewer.core.types import SyncPoint, Worker
from fewer.sync.comm import SingleProcess
from fewer.sync.methods import SYNC_METHODS

WORKERS, STEPS, SHARE = 4, 20, 3
Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def net(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), *extra, nn.Tanh(), nn.Linear(6, 2)).double()


def sync_of(method: str, comm: Any = None, workers: int = WORKERS, **keys: Any) -> Any:
    module = SYNC_METHODS.module(method)
    return module.build(section_of(module.Params, **keys), comm or SingleProcess(), workers)


def workers_of(sync: Any, model: nn.Module, build: Build) -> list[Worker]:
    found = []
    for id in sync.local_ids:
        copied = copy.deepcopy(model)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        found.append(Worker(id, copied, build(list(copied.parameters())), scaler))
    return found


def batch(step: int, worker: int, share: int = SHARE) -> Tensor:
    noise = torch.Generator().manual_seed(100 * worker + step)
    return torch.randn(share, 5, dtype=torch.float64, generator=noise)


def lr_of(step: int, steps: int = STEPS) -> float:
    """A rate that rises, then falls."""
    return 0.05 * min(1.0, (step + 1) / 4) * (1 - step / (2 * steps))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def train(
    sync: Any,
    workers: Sequence[Worker],
    steps: Sequence[int] = range(STEPS),
    lr: Callable[[int], float] = lr_of,
    share: Callable[[int, int], int] = lambda step, worker: SHARE,
    after: Callable[[int], object] = bool,
) -> list[int]:
    """Steps as the loop takes them; returns what each of them told to have been agreed on."""
    told = []
    for step in steps:
        sizes = [share(step, id) for id in range(sync.workers)]
        for worker in workers:
            set_lr(worker.optimizer, lr(step))
            worker.optimizer.zero_grad(set_to_none=True)
            if not sizes[worker.id]:
                continue
            loss = (worker.model(batch(step, worker.id, sizes[worker.id])) ** 2).sum()
            (loss / sync.denominator(sum(sizes), sizes[worker.id])).backward()
        sync.sync_gradients(workers)
        for worker in workers:
            worker.optimizer.step()
        mine = [sizes[worker.id] for worker in workers]
        point = SyncPoint(
            step + 1, (step + 1) / STEPS, 1, (step + 1) / STEPS, lr(step), 1.0, sum(sizes), mine, [False] * len(workers)
        )
        told.append(sync.sync_parameters(workers, point))
        after(step)
    return told


def of_whole_batch(
    model: nn.Module,
    build: Build,
    lr: Callable[[int], float] = lr_of,
    share: Callable[[int, int], int] = lambda step, worker: SHARE,
    workers: int = WORKERS,
    steps: int = STEPS,
) -> Tensor:
    """The weights of one model behind steps on what all workers' batches hold together."""
    model = copy.deepcopy(model)
    optimizer = build(list(model.parameters()))
    for step in range(steps):
        inputs = torch.cat([batch(step, id, share(step, id)) for id in range(workers)])
        set_lr(optimizer, lr(step))
        optimizer.zero_grad()
        ((model(inputs) ** 2).sum() / len(inputs)).backward()
        optimizer.step()
    return flat(model)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def trained(method: str, build: Build, model: nn.Module | None = None, workers: int = WORKERS, **keys: Any) -> Tensor:
    """The weights that workers agree on behind all steps and a flush."""
    sync = sync_of(method, workers=workers, **keys)
    replicas = workers_of(sync, model or net(), build)
    train(sync, replicas)
    sync.finish(replicas)
    return flat(replicas[0].model)


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())
