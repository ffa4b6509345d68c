"""Plain cross-entropy is what every other loss is where it is off."""

from __future__ import annotations

import pytest
import torch

from fewer.tasks.classify.cross_entropy import cross_entropy
from rare_classes import built, case, gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["focal", "ldam", "logit_adjustment"])
def test_off_is_plain_cross_entropy_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    logits, labels = case(dtype=dtype)
    ours, plain = built(name, 0.0, logit_scale=30.0)(logits, labels), cross_entropy(logits, labels)
    assert torch.equal(ours.loss_sum_B, plain.loss_sum_B)
    assert torch.equal(ours.score_B, plain.score_B)
    assert torch.equal(gradient(ours.loss_sum_B, logits), gradient(plain.loss_sum_B, logits))
    assert not torch.equal(built(name, 1.0, logit_scale=30.0)(logits, labels).loss_sum_B, plain.loss_sum_B)
