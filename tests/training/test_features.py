"""Kept features: one forward of every image, then epochs of the head alone, with what the whole model would learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer.core.errors import RecipeError
from fewer.testing.flops import FlopsFromShapes
from fewer.testing.harness import interrupted, session_of, trained
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "resnet18_cifar", "width": 0.125},
    "train": {"batch_size": 24, "lr": 0.05, "precision": "fp64"},
    "stages": [
        {"epochs": 1, "side_px": 16},
        {"epochs": 3, "side_px": 16, "frozen": "all but the head", "strength": 0.0},
    ],
}
COMPUTED = [CONTENT["stages"][0], {**CONTENT["stages"][1], "keep_features": "no"}]


def weights(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    return trained(content).run.workers[0].model.state_dict()


def test_the_head_learns_what_it_learns_from_images() -> None:
    kept, computed = weights(CONTENT), weights({**CONTENT, "stages": COMPUTED})
    for name, ours in kept.items():
        assert torch.allclose(ours, computed[name], atol=1e-12), name


def test_the_ledger_counts_one_forward_of_every_image_and_then_the_head() -> None:
    session = session_of(CONTENT)
    assert session.plan.stages[1].keeps_features
    with FlopsFromShapes() as counted:
        rows = list(train(session.task, session.train_data, session.run))
    ledger, images = session.run.ledger, session.plan.facts.data.train_images
    assert counted.total == ledger.total("flops") == session.plan.predicted["flops"][0]
    assert ledger.counts[1]["samples_loaded"] == images
    assert ledger.total("samples_loaded") == session.plan.predicted["samples_loaded"][0]
    assert ledger.counts[1]["samples_forwarded"] == images + sum(row.kept for row in rows if row.epoch)
    assert ledger.counts[1]["flops"] < 0.5 * ledger.counts[0]["flops"], "three epochs for less than half of one"


def test_resumed_is_never_stopped() -> None:
    """In the first epoch on features, and in a later one: they are computed again, and booked once."""
    assert interrupted(CONTENT, [6, 9, 15]).run.digest() == trained(CONTENT).run.digest()


def test_simulated_workers_train_on_the_same_features() -> None:
    content = {**CONTENT, "model": {"name": "lenet5", "width": 0.2}}  # without statistics of each worker's own
    one, three = weights(content), weights({**content, "sync": {"workers": 3}})
    for name, ours in one.items():
        assert torch.allclose(ours, three[name], atol=1e-9), name


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"strength": 0.5}, "strength = 0"),
        ({"frozen": []}, "freeze some"),
        ({"mix": 1.0}, "mix = 0"),
    ],
)
def test_what_stands_in_the_way_is_said(changed: dict[str, Any], said: str) -> None:
    stage = {**CONTENT["stages"][1], "keep_features": "yes", **changed}
    content = {**CONTENT, "augment": {"flip": "random", "mixup_alpha": 0.2}, "stages": [stage]}
    with pytest.raises(RecipeError, match=f'stages.0.keep_features = "yes".*{said}'):
        session_of(content)
    automatic = {**stage, "keep_features": "auto", "frozen_anyway": True}
    assert not session_of({**content, "stages": [automatic]}).plan.stages[0].keeps_features


def test_a_method_that_looks_at_every_batch_needs_images() -> None:
    content = {**CONTENT, "select": {"method": "dbpd", "score": "fresh"}}
    assert not session_of(content).plan.stages[1].keeps_features


# --- a frozen beginning that ends inside the net -------------------------------------------------------------------

INSIDE = [CONTENT["stages"][0], {**CONTENT["stages"][1], "frozen": ["layer2"], "keep_features": "yes"}]


def inside(keeps: str = "yes", **keys: Any) -> dict[str, Any]:
    return {**CONTENT, **keys, "stages": [INSIDE[0], {**INSIDE[1], "keep_features": keeps}]}


def test_the_rest_learns_what_it_learns_from_images() -> None:
    session = session_of(inside())
    stage = session.plan.stages[1]
    assert stage.keeps_features
    assert 0 < stage.frozen_layers < session.plan.facts.model.body_layers
    kept, computed = weights(inside()), weights(inside("no"))
    for name, ours in kept.items():
        assert torch.allclose(ours, computed[name], atol=1e-12), name
    assert not session_of(inside("auto")).plan.stages[1].keeps_features, "that is asked for"


def test_the_ledger_counts_one_forward_of_every_image_and_then_the_rest() -> None:
    session = session_of(inside())
    with FlopsFromShapes() as counted:
        list(train(session.task, session.train_data, session.run))
    ledger = session.run.ledger
    assert counted.total == ledger.total("flops") == session.plan.predicted["flops"][0]
    assert session.plan.predicted["flops"][0] < session_of(inside("no")).plan.predicted["flops"][0]


def test_a_run_on_features_from_inside_resumes() -> None:
    assert interrupted(inside(), [9]).run.digest() == trained(inside()).run.digest()
