"""What all losses have in common: their scores, their keys in a recipe, and runs where they are off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from fewer.tasks.classify.loss import LOSSES
from fewer.testing.harness import one_thread, trained, weights
from rare_classes import RUN, built, case


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if LOSSES.params(name).model_fields])
@given(st.integers(0, 50), st.floats(0, 5))
@settings(max_examples=15, deadline=None)
def test_scores_are_probabilities_of_the_true_class(name: str, seed: int, value: float) -> None:
    logits, labels = case(seed)
    outcome = built(name, value, logit_scale=3.0)(logits, labels)
    assert torch.allclose(outcome.score_B, logits.softmax(1)[torch.arange(24), labels])
    assert outcome.count_B.tolist() == [1] * 24
    assert not outcome.score_B.requires_grad


BASE = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}
COSINE = {"name": "lenet5", "head": "normalized"}


@pytest.mark.parametrize(
    ("sections", "parts"),
    [
        ({"task": {"focal_gamma": 2.0}}, ['unknown key "task.focal_gamma"', 'task.loss = "focal"', "leave it out"]),
        (
            {"task": {"loss": "focal", "ldam_margin": 0.5}},
            ['unknown key "task.ldam_margin"', 'it belongs to task.loss = "ldam"; "focal" has focal_gamma'],
        ),
        ({"task": {"loss": "focal", "focal_gamma": -1.0}}, ["task.focal_gamma = -1.0", "e.g. 1"]),
        ({"task": {"loss": "focal", "focal_gamma": float("inf")}}, ["task.focal_gamma"]),
        ({"task": {"loss": "ldam"}}, ['set model.head = "normalized"']),
        ({"task": {"loss": "dice"}}, ['unknown task.loss "dice"', "focal"]),
        ({"task": {"class_beta": 0.9}}, ["task.class_beta = 0.9 has no effect", '"effective_number"']),
        ({"task": {"class_weights": "inverse", "class_beta": 0.9}}, ["task.class_beta = 0.9 has no effect"]),
        ({"task": {"class_weights": "effective_number", "class_beta": 1.0}}, ["task.class_beta = 1.0", "0.9999"]),
        ({"task": {"reweight_from": "80%"}}, ['task.reweight_from = "80%" has no effect', '"none"']),
        ({"task": {"class_weights": "inverse", "reweight_from": "90ep"}}, ["longer than the run of 10 epochs"]),
        ({"task": {"class_weights": "inverse", "reweight_from": "90step"}}, ['only "ep" and "%"']),
        ({"task": {"loss": "focal"}, "train": {"label_smoothing": 0.1}}, ["train.label_smoothing", "not defined"]),
        ({"model": {"name": "lenet5", "head_scale": 20.0}}, ["model.head_scale = 20.0 has no effect"]),
        ({"model": {**COSINE, "head_scale": 0.0}}, ["model.head_scale = 0.0", "or leave it out"]),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_fix(sections: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**BASE, **sections})
    (problem,) = caught.value.problems
    assert all(part in problem for part in parts), problem


@pytest.mark.parametrize(
    "sections",
    [
        {"task": {"loss": "focal", "focal_gamma": 2.0}},
        {"task": {"loss": "ldam"}, "model": COSINE, "train": {"label_smoothing": 0.1}},
        {"task": {"loss": "logit_adjustment", "class_weights": "effective_number", "reweight_from": "5ep"}},
        {"model": {**COSINE, "head_scale": 16.0}},
    ],
)
def test_a_recipe_written_out_is_read_back_as_the_same(sections: dict[str, Any]) -> None:
    import tomllib

    recipe = parse_recipe({**BASE, **sections})
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe


def test_losses_that_are_off_give_the_plain_run() -> None:
    with one_thread():
        plain = weights(trained(RUN))
        for task in (
            {"loss": "focal", "focal_gamma": 0.0},
            {"loss": "logit_adjustment", "adjustment_tau": 0.0},
            {"class_weights": "inverse", "reweight_from": "100%"},
        ):
            assert weights(trained({**RUN, "task": task})) == plain, f"{task} is not neutral"
        assert weights(trained({**RUN, "task": {"class_weights": "inverse"}})) != plain
