"""One case worked by hand: logistic regression in plain Python against the whole loop, to the last digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from fewer import optim
from fewer.core.observation import Observed
from fewer.core.sections import section_of
from fewer.core.table import Table
from fewer.core.types import At, Batch, Expectation, KeepMask, Request, Selection, Worker
from fewer.optim.groups import parameter_groups
from fewer.select.base import BaseSelector
from fewer.session.build import Session
from fewer.testing.harness import one_thread, session_of
from fewer.training.loop import train

POINTS = {0: (1.0, 0.5), 1: (-1.0, 0.25), 2: (0.5, -1.0), 3: (-0.5, -0.75)}
LABELS = {0: 1, 1: 0, 2: 1, 3: 0}
EPOCHS, LR, MOMENTUM, DECAY, BATCH = 3, 0.3, 0.9, 0.01, 3
WEIGHTS, SCALE = {0: 2.0, 1: 0.5, 2: 1.0, 3: 1.5}, 1.25


class Points:
    """Four points in the plane as a data set."""

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        for request in requests:
            ids = request.ids_B.tolist()
            points = torch.tensor([POINTS[i] for i in ids], dtype=torch.float64).reshape(-1, 2)
            yield Batch(request.ids_B, points, torch.tensor([LABELS[i] for i in ids]))


class Weighted(BaseSelector):
    """Chooses all points, weighted before the epoch or in the batch, for steps that are longer by a factor."""

    def __init__(self, in_batch: bool) -> None:
        self.chooses_in_batch = in_batch

    def in_batch(self, at: At) -> bool:
        return self.chooses_in_batch

    def expected(self, at: At) -> Expectation:
        return Expectation(1.0, 1.0)

    def select(self, table: Table, pool_ids: torch.Tensor, at: At) -> Selection:
        weight = weights_of(pool_ids)
        return Selection(pool_ids, torch.ones_like(weight) if self.chooses_in_batch else weight, SCALE)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        return KeepMask(torch.ones(len(seen_G), dtype=torch.bool), weights_of(seen_G.ids_B))


def weights_of(ids: torch.Tensor) -> torch.Tensor:
    return torch.tensor([WEIGHTS[int(i)] for i in ids], dtype=torch.float64)


def session_on_points() -> Session:
    content: dict[str, Any] = {
        "data": {"source": "digits", "test": "90%", "val": "none"},
        "model": {"name": "lenet5", "width": 0.05},
        "train": {
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "lr": LR,
            "momentum": MOMENTUM,
            "weight_decay": DECAY,
            "warmup": "0%",
            "precision": "fp64",
        },
    }
    session = session_of(content)
    model = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    groups = parameter_groups(model, LR, {"weight": DECAY}, {})
    optimizer = optim.build_optimizer(section_of(optim.TrainParams, momentum=MOMENTUM), groups)
    session.run.workers = [Worker(0, model, optimizer, torch.amp.GradScaler("cpu", enabled=False))]
    session.run.selection.pool_ids, session.run.selection.table = torch.arange(4), Table(4)
    facts = session.plan.facts
    session.run.plan = replace(session.plan, facts=replace(facts, data=replace(facts.data, train_images=4)))
    return session


def by_hand(
    batches: list[list[int]], weight_of: dict[int, float], scale: float
) -> tuple[list[list[float]], list[float]]:
    """Two rows of weights under softmax, cross-entropy, Nesterov's momentum and a rate falling linearly to zero."""
    weight, momentum = [[0.0, 0.0], [0.0, 0.0]], None
    losses = []
    for number, ids in enumerate(batches):
        gradient, loss = [[0.0, 0.0], [0.0, 0.0]], 0.0
        for i in ids:
            logits = [sum(w * x for w, x in zip(row, POINTS[i], strict=True)) for row in weight]
            total = sum(math.exp(z) for z in logits)
            loss += -weight_of[i] * math.log(math.exp(logits[LABELS[i]]) / total) / len(ids)
            for c in (0, 1):
                error = math.exp(logits[c]) / total - (c == LABELS[i])
                for d in (0, 1):
                    gradient[c][d] += weight_of[i] * error * POINTS[i][d] / len(ids)
        losses.append(loss)
        gradient = [
            [g + DECAY * w for g, w in zip(gs, ws, strict=True)] for gs, ws in zip(gradient, weight, strict=True)
        ]
        momentum = gradient if momentum is None else _added(gradient, MOMENTUM, momentum)
        rate = scale * LR * (1 - number / len(batches))
        for c in (0, 1):
            for d in (0, 1):
                weight[c][d] -= rate * (gradient[c][d] + MOMENTUM * momentum[c][d])
    return weight, losses


def _added(one: list[list[float]], factor: float, other: list[list[float]]) -> list[list[float]]:
    return [[a + factor * b for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]


@pytest.mark.parametrize("selector", [None, Weighted(in_batch=False), Weighted(in_batch=True)])
def test_the_loop_does_what_paper_and_pencil_do(selector: BaseSelector | None) -> None:
    weight_of, scale = (WEIGHTS, SCALE) if selector else (dict.fromkeys(POINTS, 1.0), 1.0)
    with one_thread():
        session = session_on_points()
        if selector:
            session.run.selection.selector = selector
        seen: list[list[int]] = []
        data = Points()

        class Watched:
            def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
                for batch in data.batches(requests):
                    seen.append(batch.ids_B.tolist())
                    yield batch

        rows = list(train(session.task, Watched(), session.run))
    assert [sorted(seen[n] + seen[n + 1]) for n in (0, 2, 4)] == [[0, 1, 2, 3]] * 3, "each point once an epoch"
    assert [len(ids) for ids in seen] == [2] * 6, "four points in batches of at most three: two and two"
    weight, losses = by_hand(seen, weight_of, scale)
    assert [row.loss for row in rows] == pytest.approx(losses, rel=1e-12)
    assert [row.lr for row in rows] == pytest.approx([scale * LR * (1 - n / 6) for n in range(6)], rel=1e-12)
    assert session.run.workers[0].model.weight.tolist() == pytest.approx(  # type: ignore[union-attr,operator]
        [pytest.approx(row, rel=1e-12) for row in weight]
    )
    assert session.run.selection.table.visits_N.tolist() == [EPOCHS] * 4
