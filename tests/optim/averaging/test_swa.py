"""Stochastic weight averaging over the tail of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from fewer.core.errors import RecipeError
from fewer.core.evaluation import Evaluate
from fewer.core.types import Request
from fewer.models.batchnorm import reestimate
from fewer.optim.averaging.swa import Swa
from fewer.plan.compile import compile_plan
from fewer.recipe.parse import parse_recipe
from fewer.session.build import Session
from fewer.session.statistics import model_for
from fewer.testing.harness import interrupted, one_thread, trained
from fewer.training.loop import Row
from planning import facts, recipe

VAL = Evaluate("val", "val")
IMAGES = 100
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "90%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1, "logit_scale": 1.0},
    "train": {"lr": 0.05, "batch_size": 32, "precision": "fp64", "schedule": "constant", "swa": "1.5ep"},
    "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 2, "side_px": 20}],
    "evaluate": {"batchnorm_images": IMAGES},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_every_step_of_the_tail_counts_the_same() -> None:
    """A weight that is 0, 1, 2, ..., in a run of six steps whose second half is averaged: (3 + 4 + 5) / 3."""
    model, swa = torch.nn.Linear(1, 1), Swa(start=0.5)
    for step in range(6):
        torch.nn.init.constant_(model.weight, step)
        swa.update([model], 10, step + 1, step / 6)
        assert swa.renews_statistics == (step >= 3)
    averaged = torch.nn.Linear(1, 1)
    swa.load_into(averaged)
    assert averaged.weight.item() == pytest.approx(4)


def test_a_run_that_is_made_longer_leaves_its_tail() -> None:
    model, swa = torch.nn.Linear(1, 1), Swa(start=0.5)
    swa.update([model], 10, 1, 0.6)
    swa.update([model], 10, 2, 0.4)
    assert not swa.renews_statistics
    assert swa.state_dict() == {"mean": {}, "steps": 0}


@pytest.fixture(scope="module")
def run() -> tuple[Session, AveragedModel, list[int]]:
    """A run beside which torch averages, and from how many images its statistics came after each epoch."""
    theirs: list[AveragedModel] = []
    renewed: list[int] = []

    def look(session: Session, row: Row) -> None:
        model = session.run.workers[0].model
        if row.progress > 0.5 - 1e-9:
            if not theirs:
                theirs.append(AveragedModel(model, use_buffers=True))
            theirs[0].update_parameters(model)
        if row.epoch_end:
            renewed.append(model_for(session, VAL)[1])

    return trained(CONTENT, look=look), theirs[0], renewed


def test_the_mean_is_that_of_torch(run: tuple[Session, AveragedModel, list[int]]) -> None:
    session, theirs, _ = run
    expected = {name: value for name, value in theirs.module.state_dict().items() if value.is_floating_point()}
    found = session.run.evaluated_model().state_dict()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-12, atol=1e-14), name
    raw = session.run.raw_model().state_dict()
    assert any(not torch.allclose(found[name], raw[name]) for name in expected), "the mean is no copy"


def test_statistics_are_estimated_again_in_the_tail_alone(run: tuple[Session, AveragedModel, list[int]]) -> None:
    """For averaged weights, at the side of the evaluation; the model itself keeps its own before."""
    session, _, renewed = run
    assert renewed == [0, IMAGES, IMAGES]
    before = session.run.digest()
    model, _ = model_for(session, VAL)
    by_hand, run_ = session.run.evaluated_model(), session.run
    ids = run_.selection.pool_ids
    reestimate(by_hand, session.train_data.batches([Request(ids, 3, 20)]), session.task.output)
    mean = "running_mean"
    found, wanted = (
        torch.cat([value for name, value in each.state_dict().items() if name.endswith(mean)])
        for each in (model, by_hand)
    )
    stale = [value for name, value in run_.evaluated_model().state_dict().items() if name.endswith(mean)]
    assert (found - wanted).norm() < (torch.cat(stale) - wanted).norm()
    assert run_.digest() == before, "looking changes nothing"


@pytest.mark.parametrize("kills", [[6], [9, 13]])
def test_resuming_in_the_tail_is_exact(run: tuple[Session, AveragedModel, list[int]], kills: list[int]) -> None:
    """Killed before the tail, which begins with the tenth batch; just before it; and in it."""
    assert interrupted(CONTENT, kills).run.digest() == run[0].run.digest()


def test_the_plan_prices_the_new_statistics() -> None:
    """Without validation images they surely come, with some they may; models without BatchNorm have none."""
    asked = recipe(train={"epochs": 4, "swa": "1ep"}, evaluate={"batchnorm_images": 200})

    def forwarded(**known: Any) -> tuple[float, float]:
        return compile_plan(asked, facts(**known)).predicted["samples_forwarded"]

    assert forwarded(batchnorm=True) == (4200, 4200)
    assert forwarded(batchnorm=True, val_images=10) == (4000, 4200)
    assert forwarded(batchnorm=False) == (4000, 4000)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"swa": "0ep"}, 'train.swa = "0ep" averages nothing'),
        ({"swa": "2ep", "ema": "1ep"}, 'train.swa = "2ep" beside train.ema: only one average can be evaluated'),
        ({"swa": "20ep"}, 'train.swa = "20ep" is longer than the run of 4 epochs'),
        ({"swa": "100step"}, 'only "ep" and "%"'),
    ],
)
def test_what_cannot_be_averaged_is_refused(train: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": {"epochs": 4, **train}})
