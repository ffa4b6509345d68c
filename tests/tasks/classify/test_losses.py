"""Losses for rare classes: equal to formulas worked by other means, and to plain cross-entropy where they are off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fewer import models
from fewer.core import rng
from fewer.core.clock import Duration
from fewer.core.errors import RecipeError
from fewer.core.types import At, Batch
from fewer.models.cosine_head import NormalizedLinear
from fewer.plan.flops import sample_flops
from fewer.recipe.parse import parse_recipe
from fewer.tasks.classify.class_weights import Reweighting, class_weights
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.tasks.classify.loss import LOSSES, Loss, Setting
from fewer.tasks.classify.task import Classify
from fewer.testing.harness import interrupted, one_thread, trained, weights

IMAGES = (1000, 200, 16, 1)


def case(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(24, len(IMAGES), generator=generator, dtype=torch.float64)
    return logits.to(dtype).requires_grad_(), torch.arange(24) % len(IMAGES)


def built(name: str, value: float, **setting: Any) -> Loss:
    module = LOSSES.module(name)
    (key,) = module.Params.model_fields
    return module.build(module.Params(**{key: value}), Setting(IMAGES, **setting))


def gradient(loss_B: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss_B.sum(), logits, retain_graph=True)[0]


def softmax(logits: Any) -> Any:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# --- Each loss against its formula ---


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_equals_the_formula(gamma: float) -> None:
    logits, labels = case()
    p = softmax(logits.detach().numpy())[np.arange(24), labels.numpy()]
    ours = built("focal", gamma)(logits, labels)
    assert ours.loss_sum_B.detach().numpy() == pytest.approx(-((1 - p) ** gamma) * np.log(p), rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: built("focal", gamma)(x, labels).loss_sum_B, logits)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_focal_has_a_finite_slope_where_all_is_learnt(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = built("focal", gamma)(logits, torch.tensor([0, 0])).loss_sum_B
    assert loss.tolist() == pytest.approx([0.0, 200.0])
    assert torch.isfinite(gradient(loss, logits)).all()


def test_ldam_by_hand() -> None:
    """Counts 1000, 200, 16, 1: margins 0.5 n^(-1/4), so 0.25 for the class of 16; at scale 10 that is 2.5."""
    ldam = built("ldam", 0.5, logit_scale=10.0)
    logits = torch.tensor([[9.0, 1.0, 5.0, 2.0], [1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    outcome = ldam(logits, torch.tensor([2, 3]))
    first = -2.5 + 5 - math.log(math.exp(9) + math.exp(1) + math.exp(2.5) + math.exp(2))
    second = 4 - 5 - math.log(math.exp(1) + math.exp(2) + math.exp(3) + math.exp(-1))
    assert outcome.loss_sum_B.tolist() == pytest.approx([-first, -second])
    assert outcome.right_B.tolist() == [False, True], "correctness knows of no margin"
    assert outcome.score_B.tolist() == pytest.approx(logits.softmax(1)[[0, 1], [2, 3]].tolist()), "nor does the score"


def test_ldam_takes_the_published_margins() -> None:
    """The authors' code: m = 1 / sqrt(sqrt(n)), scaled to a maximum of 0.5; then s (x - m)."""
    logits, labels = case()
    cosines, scale = logits.detach() / 30, 30.0
    margins = 1 / np.sqrt(np.sqrt(np.array(IMAGES, float)))
    margins *= 0.5 / margins.max()
    shifted = cosines.clone()
    shifted[torch.arange(24), labels] -= torch.from_numpy(margins)[labels]
    theirs = F.cross_entropy(scale * shifted, labels, reduction="none")
    ours = built("ldam", 0.5, logit_scale=scale)(cosines * scale, labels).loss_sum_B
    assert torch.allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjustment_is_cross_entropy_with_a_prior(tau: float, smoothing: float) -> None:
    logits, labels = case()
    prior = torch.tensor(IMAGES, dtype=torch.float64) / sum(IMAGES)
    adjusted = logits + tau * prior.log()
    theirs = F.cross_entropy(adjusted, labels, reduction="none", label_smoothing=smoothing)
    ours = built("logit_adjustment", tau, label_smoothing=smoothing)(logits, labels)
    assert torch.allclose(ours.loss_sum_B, theirs, atol=1e-10)
    assert torch.allclose(gradient(ours.loss_sum_B, logits), gradient(theirs, logits), atol=1e-10)
    assert torch.equal(ours.right_B, logits.argmax(1) == labels), "the plain logits are what is evaluated"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["focal", "ldam", "logit_adjustment"])
def test_off_is_plain_cross_entropy_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    logits, labels = case(dtype=dtype)
    ours, plain = built(name, 0.0, logit_scale=30.0)(logits, labels), cross_entropy(logits, labels)
    assert torch.equal(ours.loss_sum_B, plain.loss_sum_B)
    assert torch.equal(ours.score_B, plain.score_B)
    assert torch.equal(gradient(ours.loss_sum_B, logits), gradient(plain.loss_sum_B, logits))
    assert not torch.equal(built(name, 1.0, logit_scale=30.0)(logits, labels).loss_sum_B, plain.loss_sum_B)


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if LOSSES.params(name).model_fields])
@given(st.integers(0, 50), st.floats(0, 5))
@settings(max_examples=15, deadline=None)
def test_scores_are_probabilities_of_the_true_class(name: str, seed: int, value: float) -> None:
    logits, labels = case(seed)
    outcome = built(name, value, logit_scale=3.0)(logits, labels)
    assert torch.allclose(outcome.score_B, logits.softmax(1)[torch.arange(24), labels])
    assert outcome.count_B.tolist() == [1] * 24
    assert not outcome.score_B.requires_grad


# --- Weights by class ---


@pytest.mark.parametrize("rule", ["effective_number", "inverse"])
def test_weights_equal_the_formula_and_have_mean_one_over_the_training_images(rule: Any) -> None:
    n = np.array(IMAGES, float)
    expected = 1 / n if rule == "inverse" else (1 - 0.9999) / (1 - 0.9999**n)
    ours = class_weights(rule, IMAGES, 0.9999).numpy()
    assert ours / ours[0] == pytest.approx(expected / expected[0], rel=1e-9)
    assert (ours * n).sum() / n.sum() == pytest.approx(1.0)


def test_weights_between_none_and_inverse() -> None:
    assert class_weights("effective_number", IMAGES, 0.0).tolist() == [1.0] * 4
    near = class_weights("effective_number", IMAGES, 1 - 1e-12)
    assert near.tolist() == pytest.approx(class_weights("inverse", IMAGES, 0.0).tolist(), rel=1e-3)
    assert torch.isfinite(class_weights("effective_number", (5, 0, 3), 0.9999)).all()


class Echo(torch.nn.Module):
    """A model whose logits are its inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_weighted_loss_equals_torchs_from_the_stated_epoch_on() -> None:
    logits, labels = case()
    reweighting = Reweighting("effective_number", IMAGES, 0.9999, Duration(80, "%"))
    task = Classify(4, reweighting=reweighting, images_C=IMAGES)
    weight = class_weights("effective_number", IMAGES, 0.9999)
    plain, weighted = (F.cross_entropy(logits, labels, weight=each, reduction="none") for each in (None, weight))
    for epoch in range(10):
        loss = task.outcome(Echo(), Batch(torch.arange(24), logits, labels), At(epoch, 10, epoch / 10)).loss_sum_B
        assert torch.allclose(loss, weighted if epoch >= 8 else plain, atol=1e-12), f"epoch {epoch}"
    assert not torch.allclose(plain, weighted)


@pytest.mark.parametrize(
    ("text", "epochs", "first"), [("0%", 4, 0), ("50%", 5, 3), ("2ep", 4, 2), ("80%", 200, 160), ("100%", 4, 4)]
)
def test_reweighting_begins_with_a_whole_epoch(text: str, epochs: int, first: int) -> None:
    rule = Reweighting("inverse", IMAGES, 0.0, Duration.parse(text))
    assert [rule.applies(At(e, epochs, e / epochs)) for e in range(epochs)] == [e >= first for e in range(epochs)]


# --- The normalised head ---


def test_logits_are_scaled_cosines() -> None:
    head = NormalizedLinear(5, 3, scale=30.0).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    cosines = torch.stack([F.cosine_similarity(x, row[None]) for row in head.weight], dim=1)
    assert torch.allclose(head(x), 30 * cosines, atol=1e-12)
    assert torch.allclose(head(7 * x), head(x))
    assert torch.allclose(NormalizedLinear(5, 3, 1.0).weight.norm(dim=1), torch.ones(3))


def test_the_head_is_computed_in_full_precision_whatever_is_around_it() -> None:
    head, x = NormalizedLinear(64, 5, 30.0), torch.randn(8, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(x), head.float()(x))
    assert head(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    "name", ["lenet5", "cnn", "resnet18_cifar", "resnet18", "mobilenet_v3_small", "vit_b_16", "timm:resnet10t"]
)
def test_any_family_takes_a_normalised_head(name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    plain_bias = {"cnn": 0}.get(name, 7)
    with torch.device("meta"):
        plain = models.build(name, 7, 32)
        ours = models.build(name, 7, 32, head="normalized", head_scale=8.0)
    (head,) = [layer for layer in ours.modules() if isinstance(layer, NormalizedLinear)]
    assert head.scale == 8.0
    assert ours(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 7)
    parameters, others = (sum(p.numel() for p in model.parameters()) for model in (ours, plain))
    assert parameters == others - plain_bias
    task = Classify(list("abcdefg"))
    assert sample_flops(task, ours, 32) == sample_flops(task, plain, 32)


def test_the_logits_of_a_whole_model_are_bounded_by_the_scale() -> None:
    rng.reseed(0, "model")
    for name in ("cnn", "lenet5"):
        model = models.build(name, 4, 32, width=0.2, head="normalized")
        logits = model(torch.randn(16, 3, 32, 32))
        assert logits.abs().max() <= 30.0001
        assert logits.std() > 0.5, "no other factor on the logits"


def test_a_head_that_is_a_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="no linear layer at its end"):
        models.build("squeezenet1_0", 7, 64, head="normalized")


# --- Recipes ---

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
        ({"task": {"loss": "focal", "focal_gamma": -1.0}}, ["task.focal_gamma = -1.0", "default is 1"]),
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


# --- Whole runs ---

RUN: dict[str, Any] = {
    "data": {"source": "digits", "test": "80%", "val": "none", "long_tail": {"factor": 6.0}},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"epochs": 2, "batch_size": 24, "lr": 0.05, "precision": "fp32"},
}


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


def test_a_deferred_reweighting_is_resumed_as_if_never_stopped() -> None:
    """Killed in the epoch before the weights apply and in that after; margins, head and weights come back."""
    task = {"loss": "ldam", "class_weights": "effective_number", "class_beta": 0.9, "reweight_from": "50%"}
    content = {**RUN, "model": {**RUN["model"], "head": "normalized"}, "task": task}
    with one_thread():
        whole = trained(content)
        border = whole.run.cursor.step // 2
        assert interrupted(content, [border - 2, border + 3]).run.digest() == whole.run.digest()
        never = {**content, "task": {"loss": "ldam"}}
        assert weights(trained(never)) != weights(whole)
