"""Weights by class: their formula, and the epoch from which they apply."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fewer.core.clock import Duration
from fewer.core.types import At, Batch
from fewer.tasks.classify.class_weights import Reweighting, class_weights
from fewer.tasks.classify.task import Classify
from fewer.testing.harness import interrupted, one_thread, trained, weights
from rare_classes import IMAGES, RUN, case


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


@pytest.mark.parametrize("rule", ["inverse", "effective_number"])
def test_classes_without_images_change_nothing_for_the_others(rule: Any) -> None:
    weight_C = class_weights(rule, (500, 100, 0), 0.999)
    assert torch.allclose(weight_C[:2], class_weights(rule, (500, 100), 0.999))
    assert weight_C[2] == weight_C[1]
