"""Focal loss against its formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rare_classes import built, case, gradient


def softmax(logits: Any) -> Any:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


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
