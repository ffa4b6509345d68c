"""BatchNorm's new statistics, in whole runs: what they change, and what they leave as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.core.evaluation import Evaluate
from fewer.core.types import Request
from fewer.models.batchnorm import reestimate
from fewer.recipe.parse import parse_recipe
from fewer.session.build import Session
from fewer.session.fit import fit
from fewer.session.statistics import model_for
from fewer.tasks.classify.tta import Views
from fewer.testing.flops import FlopsFromShapes
from fewer.testing.harness import Content, one_thread, trained
from fewer.training.loop import Row

IMAGES = 200  # that BatchNorm is estimated from
VAL = Evaluate("val", "val")
SMALL: Content = {
    "data": {"source": "digits", "val": "none", "test": "70%", "cache": "no"},
    "stages": [{"epochs": 3, "side_px": 16}],
    "train": {"batch_size": 64, "lr": 0.05, "precision": "fp32"},
    "out": {"plots": False, "previews": False},
}
BATCHNORM: Content = {
    **SMALL,
    "model": {"name": "cnn", "width": 0.25, "logit_scale": 1.0},
    "train": {**SMALL["train"], "batch_size": 32, "lr": 0.3},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def hard(images: int) -> dict[str, Any]:
    """Hard samples alone, with or without new statistics of BatchNorm."""
    chosen = {"method": "dbpd", "threshold": 0.3, "refresh_every": 0}
    return {"select": chosen, "evaluate": {"batchnorm_images": images}}


@pytest.fixture(scope="module")
def sessions() -> dict[int, tuple[Session, list[int]]]:
    """One run with new statistics and one without, each evaluated after every epoch."""
    found = {}
    for images in (IMAGES, 0):
        renewed: list[int] = []

        def look(session: Session, row: Row, renewed: list[int] = renewed) -> None:
            if row.epoch_end:
                renewed.append(model_for(session, VAL)[1])

        found[images] = trained({**BATCHNORM, **hard(images)}, look=look), renewed
    return found


def test_batchnorm_is_estimated_anew_after_an_epoch_on_a_part(sessions: dict[int, tuple[Session, list[int]]]) -> None:
    assert sessions[IMAGES][1] == [0, IMAGES, IMAGES], "the first epoch is on everything"
    assert sessions[0][1] == [0, 0, 0]


def test_new_statistics_leave_the_run_as_it_is(sessions: dict[int, tuple[Session, list[int]]]) -> None:
    """Weights, optimizer, table, ledger: the run that was looked at with new statistics equals the other one."""
    with_guard, without = sessions[IMAGES][0].run, sessions[0][0].run
    assert with_guard.digest() == without.digest()
    before = {name: value.clone() for name, value in with_guard.workers[0].model.state_dict().items()}
    model_for(sessions[IMAGES][0], VAL)
    assert all(torch.equal(value, before[name]) for name, value in with_guard.workers[0].model.state_dict().items())


def test_new_statistics_change_what_an_evaluation_says(sessions: dict[int, tuple[Session, list[int]]]) -> None:
    """Only running statistics differ; the new ones are nearer to those of all training images."""
    models = {images: model_for(session, VAL)[0] for images, (session, _) in sessions.items()}
    states = {images: model.state_dict() for images, model in models.items()}
    changed = {name for name, value in states[0].items() if not torch.equal(value, states[IMAGES][name])}
    assert changed
    assert all("running_" in name or "num_batches" in name for name in changed)

    session, _ = sessions[0]
    true, side = session.run.evaluated_model(), session.plan.evaluation_side_px
    views = [Request(session.run.selection.pool_ids, 3, side)]
    reestimate(true, session.train_data.batches(views), session.task.output)
    away = {images: _distance(state, true.state_dict()) for images, state in states.items()}
    assert away[IMAGES] < 0.7 * away[0]

    images = [Request(session.run.selection.pool_ids, 3, side, strength=0.0)]
    losses = [
        session.task.evaluate(model, session.train_data.batches(images), session.run.comm).scalars["loss"]
        for model in models.values()
    ]
    assert losses[0] != losses[1], "evaluations see them"


def test_new_statistics_take_one_forward_an_image_however_models_are_evaluated(
    sessions: dict[int, tuple[Session, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from outside; an evaluation of mirror images would take two, and half of its statistics from them."""
    session, _ = sessions[IMAGES]
    plain = model_for(session, VAL)[0].state_dict()
    monkeypatch.setattr(session.task, "views", Views("flip"))
    with FlopsFromShapes() as flops:
        model, images = model_for(session, VAL)
    assert flops.total == images * session.plan.sample_flops(2).forward
    assert all(torch.equal(value, plain[name]) for name, value in model.state_dict().items())


def _distance(state: dict[str, torch.Tensor], true: dict[str, torch.Tensor]) -> float:
    """Root mean square difference of running means, in standard deviations."""
    away = [
        (state[name] - mean) / true[name.replace("running_mean", "running_var")].sqrt()
        for name, mean in true.items()
        if name.endswith("running_mean")
    ]
    return float(torch.cat(away).square().mean().sqrt())


def test_new_statistics_are_in_the_ledger(tmp_path: Path) -> None:
    """Each image costs the model that is published a forward more, and nothing else does but training itself."""
    content = {**BATCHNORM, **hard(IMAGES)}
    content["select"]["guards"] = {"noise_cap": 0.0}  # suspected labels are scored again
    result = fit(parse_recipe(content), tmp_path / "run")
    ledger, plan = result["ledger"], json.loads((tmp_path / "run" / "plan.json").read_text())
    assert result["best"]["batchnorm_images"] == IMAGES
    trained_on = ledger["samples_backpropagated"]
    assert trained_on < plan["epochs"] * plan["train_images"], "something was left out"
    assert ledger["samples_forwarded"] == trained_on + IMAGES
    step = plan["plain_epoch_flops"] / plan["train_images"]
    renewed = ledger["flops"] - trained_on * step
    assert 0.25 * step * IMAGES < renewed < 0.5 * step * IMAGES, "a forward is about a third of a step"
    assert plan["predicted"]["high"]["flops"] == plan["epochs"] * plan["plain_epoch_flops"] + renewed
