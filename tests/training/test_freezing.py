"""Frozen layers in a run: nothing moves them, the ledger counts what they save, and they thaw."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from fewer.session.build import Session
from fewer.testing.flops import FlopsFromShapes
from fewer.testing.harness import interrupted, session_of, trained
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1, "whiten": True, "whiten_bias_epochs": 1},
    "train": {"batch_size": 24, "lr": 0.05, "weight_decay": 0.01, "precision": "fp32", "ema": "1ep"},
    "stages": [
        {"epochs": 1, "side_px": 16},
        {"epochs": 1, "side_px": 16, "frozen": "block2"},
        {"epochs": 1, "side_px": 16, "frozen": ["block1"]},
    ],
}


def state_of(session: Session) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in session.run.workers[0].model.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.partition(".")[0] for name, value in after.items() if not torch.equal(before[name], value)}


def test_nothing_moves_a_frozen_prefix_and_it_thaws() -> None:
    states: list[dict[str, Tensor]] = []
    session = session_of(CONTENT)
    states.append(state_of(session))
    with FlopsFromShapes() as counted:
        for row in train(session.task, session.train_data, session.run):
            if row.epoch == 1:
                named = session.run.workers[0].model.named_parameters()
                assert all(p.grad is None for name, p in named if not name.startswith(("block3", "head")))
            if row.epoch_end:
                states.append(state_of(session))
    first, second, third = (moved(*pair) for pair in pairwise(states))
    assert first == {"stem", "block1", "block2", "block3", "head"}
    assert second == {"block3", "head"}, "neither momentum, nor decay, nor batches of its norms"
    assert third == {"block2", "block3", "head"}
    assert counted.total == session.run.ledger.total("flops") == session.plan.predicted["flops"][0]
    assert interrupted(CONTENT, [6, 9]).run.digest() == session.run.digest()
    assert "freezing saves" in session.plan.notes[-1]


def test_a_run_that_is_resumed_behind_its_end_is_evaluated_as_its_last_epoch_had_it() -> None:
    """What is frozen decides whose statistics of BatchNorm are estimated again, and which averages are published."""
    whole, resumed = trained(CONTENT), session_of(CONTENT)
    resumed.run.load_state_dict(whole.run.state_dict())
    assert list(train(resumed.task, resumed.train_data, resumed.run)) == []
    ours, theirs = (each.run.workers[0].model for each in (resumed, whole))
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in theirs.parameters()]
    assert [m.training for m in ours.modules()] == [m.training for m in theirs.modules()]
    assert not all(p.requires_grad for p in ours.parameters())


def test_a_tail_at_the_side_of_evaluation_trains_the_last_norm_and_the_head() -> None:
    """As Touvron et al. 2019 end a run: views of an evaluation at its side, next to no backward."""
    tail = {"epochs": 1, "side_px": 24, "frozen": "all before the last norm", "strength": 0.0, "lr_scale": 0.1}
    content = {**CONTENT, "stages": [{"epochs": 1, "side_px": 16}, tail]}
    states = list[dict[str, Tensor]]()
    session = session_of(content)
    with FlopsFromShapes() as counted:
        for row in train(session.task, session.train_data, session.run):
            if row.epoch_end:
                states.append(state_of(session))
    changed = {name for name, value in states[1].items() if not torch.equal(value, states[0][name])}
    norm = {f"block3.norm2.{name}" for name in ("bias", "running_mean", "running_var", "num_batches_tracked")}
    assert {name for name in changed if not name.startswith("head")} - norm <= {"block3.norm2.weight"}
    assert norm <= changed
    assert any(name.startswith("head") for name in changed)
    assert counted.total == session.run.ledger.total("flops") == session.plan.predicted["flops"][0]
    flops = session.plan.sample_flops(1)
    assert flops.backward < 0.01 * flops.forward
    assert not session.plan.reestimation.at_side(session.plan.stages[1]), "it was trained as it is evaluated"


@pytest.mark.parametrize("frozen", [[], "0%"])
def test_nothing_frozen_is_plain(frozen: Any) -> None:
    plain = {**CONTENT, "stages": [{"epochs": 1, "side_px": 16}]}
    off = {**CONTENT, "stages": [{"epochs": 1, "side_px": 16, "frozen": frozen}]}
    assert trained(plain).run.digest() == trained(off).run.digest()


def test_workers_agree_on_what_is_frozen() -> None:
    content = {
        **CONTENT,
        "model": {"name": "lenet5", "width": 0.2},
        "train": {"batch_size": 24, "precision": "fp64"},
        "stages": [{"epochs": 1, "side_px": 16, "frozen": "50%"}, {"epochs": 1, "side_px": 16}],
    }
    one, three = trained(content), trained({**content, "sync": {"workers": 3}})
    for (name, ours), theirs in zip(state_of(one).items(), state_of(three).values(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-9), name
