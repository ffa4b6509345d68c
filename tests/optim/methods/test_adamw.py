"""AdamW: against a loop by hand, on two ranks, and out of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer import optim
from fewer.core.sections import section_of
from fewer.core.types import Batch
from fewer.optim.groups import load_optimizer_state, optimizer_state, parameter_groups
from fewer.testing import laws
from fewer.testing.harness import one_thread, session_of
from fewer.training.loop import train
from parameter_kinds import DECAY


def test_adamws_counter_of_steps_comes_back_as_it_was() -> None:
    model = torch.nn.Linear(3, 1)
    groups = parameter_groups(model, 0.1, DECAY, {})
    optimizer = optim.build_optimizer(section_of(optim.TrainParams, optimizer="adamw", betas=[0.9, 0.99]), groups)
    for _ in range(3):
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    saved = optimizer_state(optimizer)
    load_optimizer_state(optimizer, {name: value.clone() for name, value in saved.items()})
    again = optimizer_state(optimizer)
    assert again["weight/step"] == 3
    assert again["weight/step"].shape == ()
    assert all(torch.equal(again[name], value) for name, value in saved.items())


ADAMW: dict[str, Any] = {
    "data": {"source": "digits", "test": "90%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {
        "epochs": 2,
        "batch_size": 40,
        "optimizer": "adamw",
        "lr": 0.004,
        "weight_decay": 0.1,
        "betas": [0.8, 0.95],
        "schedule": "one_cycle",
        "precision": "fp64",
        "channels_last": "no",
    },
}


def test_the_loop_with_adamw_does_what_a_loop_by_hand_does() -> None:
    """torch.optim.AdamW, its groups written out by hand, on the same batches, rates and betas."""
    with one_thread():
        session, twin = session_of(ADAMW), session_of(ADAMW)
        seen: list[Batch] = []
        batches = session.train_data.batches
        session.train_data.batches = lambda requests: _kept(batches(requests), seen)  # type: ignore[method-assign]
        rows = list(train(session.task, session.train_data, session.run))
        model = twin.run.workers[0].model
        decayed = [p for name, p in model.named_parameters() if name.endswith("weight")]
        free = [p for name, p in model.named_parameters() if not name.endswith("weight")]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}]
        adamw = torch.optim.AdamW(groups, lr=0.004, eps=1e-8)
        losses = []
        for row, batch in zip(rows, seen, strict=True):
            for group in adamw.param_groups:
                group["lr"], group["betas"] = row.lr, (row.momentum, 0.95)
            loss = torch.nn.functional.cross_entropy(model(batch.inputs), batch.targets)
            adamw.zero_grad()
            loss.backward()
            adamw.step()
            losses.append(float(loss.detach()))
    assert [row.loss for row in rows] == pytest.approx(losses, rel=1e-10)
    assert {row.momentum for row in rows} >= {0.95}
    assert min(row.momentum for row in rows) < 0.87
    for ours, theirs in zip(session.run.workers[0].model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def _kept(batches: Iterator[Batch], seen: list[Batch]) -> Iterator[Batch]:
    for batch in batches:
        seen.append(batch)
        yield batch


def test_adamw_on_two_ranks_equals_one_process() -> None:
    with one_thread():
        train_keys = {**ADAMW["train"], "accumulate": 2}
        laws.ranks_agree({**ADAMW, "train": train_keys, "select": {"method": "full"}})
