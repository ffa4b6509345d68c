"""Logit adjustment against torch's cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rare_classes import IMAGES, built, case, gradient


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
