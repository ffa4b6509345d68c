"""A stage whose batches draw their sides: what is trained on, booked, priced, resumed and refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.errors import RecipeError
from fewer.core.evaluation import Evaluate
from fewer.core.types import Stage
from fewer.plan.compile import compile_plan
from fewer.plan.evaluations import Reestimation
from fewer.plan.table import table
from fewer.recipe.parse import parse_recipe
from fewer.session.build import Session
from fewer.session.statistics import model_for
from fewer.testing import laws
from fewer.testing.flops import FlopsFromShapes
from fewer.testing.harness import interrupted, one_thread, session_of
from fewer.training.loop import Row, train
from planning import facts, recipe

RAMP = {"ramp": "timm", "ramp_px": [16, 20, 24]}
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "augment": {"crop_padding_px": 2, "cutmix_alpha": 1.0},
    "model": {"name": "cnn", "width": 0.1, "logit_scale": 1.0},
    "train": {"lr": 0.05, "precision": "fp32", "batch_size": 24, "seed": 5},
    "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 3, **RAMP}],
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def run() -> tuple[Session, list[Row], int]:
    """A run, its rows, and its FLOPs as counted from outside."""
    session = session_of(CONTENT)
    with FlopsFromShapes() as flops:
        rows = list(train(session.task, session.train_data, session.run))
    return session, rows, flops.total


def test_batches_have_the_sides_that_they_drew(run: tuple[Session, list[Row], int]) -> None:
    session, rows, _ = run
    stage = session.plan.stages[1]
    for epoch in range(4):
        sides = [row.side_px for row in rows if row.epoch == epoch]
        expected = stage.batch_sides_px(epoch, range(len(sides))) if epoch else [16] * len(sides)
        assert sides == expected
    assert {row.side_px for row in rows if row.epoch} == {16, 20, 24}


def test_what_was_computed_is_what_was_booked_and_priced(run: tuple[Session, list[Row], int]) -> None:
    session, _, counted = run
    booked = session.run.ledger.total("flops")
    assert booked == counted
    low, high = session.plan.predicted["flops"]
    again = session.plan.reestimation.images * session.plan.facts.model.sample_flops(24, 3).forward
    assert low == high == pytest.approx(booked + again, rel=1e-12)


def test_in_memory_every_side_is_decoded_once(run: tuple[Session, list[Row], int]) -> None:
    session = run[0]
    assert session.plan.loading.in_memory
    assert session.train_data.counts.decoded == 3 * len(session.run.selection.pool_ids)


@pytest.mark.parametrize("kills", [[8], [13, 20]])
def test_resuming_is_exact(run: tuple[Session, list[Row], int], kills: list[int]) -> None:
    """Killed in the middle of epochs whose batches have several sides."""
    assert interrupted(CONTENT, kills).run.digest() == run[0].run.digest()


def test_ranks_draw_the_same_sides() -> None:
    laws.ranks_agree({**CONTENT, "select": {}, "stages": [{"epochs": 2, **RAMP}]})


def test_statistics_of_several_sides_fit_none(run: tuple[Session, list[Row], int]) -> None:
    session = run[0]
    assert model_for(session, Evaluate("test", "test", side_px=24))[1] == session.plan.reestimation.images
    stage = session.plan.stages[1]
    assert Reestimation(10, guards=False).at_side(stage)
    assert Reestimation(10, guards=False).kept_sides_px([stage], has_val=True) == (16, 20, 24)


def test_the_price_by_hand() -> None:
    """A sample costs three FLOPs a pixel here: 1,000 images in ten batches, each at the side that it drew."""
    asked = recipe(
        train={"batch_size": 100}, stages=[{"epochs": 2, "ramp": "timm", "ramp_px": [16, 32], "ramp_spread": 0.4}]
    )
    plan = compile_plan(asked, facts())
    drawn = [side for epoch in (0, 1) for side in plan.stages[0].batch_sides_px(epoch, range(10))]
    assert set(drawn) == {16, 32}
    assert plan.predicted["flops"][1] == pytest.approx(sum(100 * 3 * side**2 for side in drawn))
    header, row, *_ = table(plan)
    assert row[header.index("side_px")] == "16-32"
    assert plan.largest_side_px == plan.evaluation_side_px == 32


@pytest.mark.parametrize(
    ("stage", "train_keys", "said"),
    [
        ({"ramp": "timm"}, {}, "stages.0.ramp_px = []: a ramp takes two to 8 ascending sides"),
        ({"ramp": "timm", "ramp_px": [24, 16]}, {}, "two to 8 ascending sides"),
        (
            {"ramp": "timm", "ramp_px": [16, 20, 24, 28, 32]},
            {"compile": "yes"},
            "two to 4 ascending sides with train.c",
        ),
        ({**RAMP, "side_px": 20}, {}, "stages.0.side_px = 20 beside stages.0.ramp_px = [16, 20, 24], which ends at 24"),
        ({"ramp_px": [16, 24]}, {}, 'stages.0.ramp_px has no effect with stages.0.ramp = "off"'),
        ({"ramp_spread": 1.0}, {}, "stages.0.ramp_spread has no effect"),
        ({**RAMP, "ramp": "linear"}, {}, "stages.0.ramp"),
        ({**RAMP, "ramp_uniform": 1.5}, {}, "stages.0.ramp_uniform"),
    ],
)
def test_what_is_no_ramp_is_refused(stage: dict[str, Any], train_keys: dict[str, Any], said: str) -> None:
    content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train_keys}
    with pytest.raises(RecipeError, match=re.escape(said)):
        parse_recipe({**content, "stages": [{"epochs": 2, **stage}]})


def test_a_choice_in_the_batch_is_refused() -> None:
    asked = recipe(stages=[{"epochs": 2, **RAMP}], select={"method": "dbpd", "score": "fresh", "threshold": 0.2})
    with pytest.raises(RecipeError, match="before the epoch"):
        compile_plan(asked, facts())


def test_a_stage_without_a_ramp_asks_for_one_side() -> None:
    assert Stage(0, 0, 1, 16, 8).ramp is None
    assert torch.tensor(Stage(0, 0, 1, 16, 8).batch_sides_px(0, range(4))).unique().tolist() == [16]
