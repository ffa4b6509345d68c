"""The transition into an epoch: frozen norms stay frozen, modes come back, stages set strength and rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fewer.core.types import At, Request, Stage
from fewer.models.batchnorm import freeze_statistics
from fewer.session.build import Session
from fewer.testing.harness import session_of
from fewer.training.loop import train
from fewer.training.scoring import score_batch
from fewer.training.transition import enter_epoch, mode

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"epochs": 2, "batch_size": 30, "lr": 0.05, "precision": "fp32"},
    "stages": [{"epochs": 2, "side_px": 16}],
}


def with_a_frozen_body(select: dict[str, Any]) -> Session:
    """A run whose task freezes everything but the head, and puts the frozen norms into eval mode."""
    session = session_of({**CONTENT, "select": select})

    def prepare(model: nn.Module, stage: Stage, epoch: int) -> None:
        *body, _ = model.children()
        for module in body:
            module.requires_grad_(False)
        for layer in norms(model):
            layer.eval()

    session.task.prepare = prepare  # type: ignore[method-assign]
    return session


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    "select",
    [
        {"method": "full"},
        {"method": "kakurenbo", "hidden": 0.5},
        {"method": "dbpd", "score": "fresh", "threshold": 0.5},
        {"method": "dbpd", "score": "fresh", "scoring": "train", "threshold": 0.5},
    ],
    ids=["plain", "scored before epochs", "scored in the batch", "scored in train mode"],
)
def test_neither_loop_nor_scoring_thaws_frozen_norms(select: dict[str, Any]) -> None:
    session = with_a_frozen_body(select)
    model = session.run.workers[0].model
    assert norms(model)
    before = [layer.running_mean.clone() for layer in norms(model) if layer.running_mean is not None]
    for _ in train(session.task, session.train_data, session.run):
        pass
    moved = [not torch.equal(layer.running_mean, mean) for layer, mean in zip(norms(model), before, strict=True)]
    assert sum(moved) == 0


def test_norms_without_trained_parameters_are_fixed_and_others_are_not() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False)).train()
    model[0].requires_grad_(False)
    model[1].weight.requires_grad_(False)
    freeze_statistics(model)
    assert [layer.training for layer in model] == [False, True, True]


def test_each_module_has_its_own_mode_back() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2), nn.Sequential(nn.Dropout())).train()
    model[0].eval()
    for training in (True, False):
        with mode(model, training):
            assert model[2].training is training
        assert [module.training for module in model.modules()] == [True, False, True, True, True]


def test_a_stage_sets_the_strength_of_views_and_the_rate() -> None:
    session = session_of(
        {
            **CONTENT,
            "augment": {"crop_padding_px": 4},
            "train": {"batch_size": 30, "lr": 0.1, "schedule": "constant", "warmup": "0%"},
            "stages": [
                {"epochs": 1, "side_px": 16, "strength": 0.0},
                {"epochs": 1, "side_px": 16, "strength": 0.5, "lr_scale": 0.25},
            ],
        }
    )
    asked: list[Request] = []
    batches = session.train_data.batches

    def seen(requests: Any) -> Any:
        asked_for = list(requests)
        asked.extend(asked_for)
        return batches(iter(asked_for))

    session.train_data.batches = seen  # type: ignore[method-assign]
    rows = list(train(session.task, session.train_data, session.run))
    assert {(request.epoch, request.strength) for request in asked} == {(0, 0.0), (1, 0.5)}
    assert {(row.epoch, row.lr) for row in rows} == {(0, 0.1), (1, 0.025)}
    assert session.run.workers[0].optimizer.param_groups[0]["lr"] == 0.025


def test_entering_an_epoch_twice_is_entering_it_once() -> None:
    session = with_a_frozen_body({"method": "full"})
    run = session.run
    for _ in range(2):
        enter_epoch(session.task, run, run.plan.stages[0])
        model = run.workers[0].model
        assert not any(layer.training for layer in norms(model))
        assert [module.training for module in model.children()][-1]


def test_scoring_leaves_modes_and_statistics_alone() -> None:
    session = with_a_frozen_body({"method": "full"})
    run = session.run
    enter_epoch(session.task, run, run.plan.stages[0])
    model = run.workers[0].model
    before = [module.training for module in model.modules()]
    batch = next(session.train_data.batches([Request(run.selection.pool_ids[:8], 0, 16)]))
    seen = score_batch(session.task, model, batch, At(0, 2, 0.0))
    assert len(seen) == 8
    assert [module.training for module in model.modules()] == before
