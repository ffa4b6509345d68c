"""LDAM by hand, and with the published margins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fewer.tasks.classify.loss import Setting
from fewer.tasks.classify.losses import ldam
from rare_classes import IMAGES, built, case


def test_ldam_by_hand() -> None:
    """Counts 1000, 200, 16, 1: margins 0.5 n^(-1/4), so 0.25 for the class of 16; at scale 10 that is 2.5."""
    loss = built("ldam", 0.5, logit_scale=10.0)
    logits = torch.tensor([[9.0, 1.0, 5.0, 2.0], [1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    outcome = loss(logits, torch.tensor([2, 3]))
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


def test_a_class_without_images_is_not_the_rarest() -> None:
    label_B = torch.tensor([0, 1])
    logits_BC = torch.zeros(2, 3, dtype=torch.float64)
    losses = []
    for images in ((500, 100, 0), (500, 100, 100)):
        found = ldam.build(ldam.Params(), Setting(images, logit_scale=16.0))
        losses.append(found(logits_BC, label_B).loss_sum_B)
    assert torch.equal(*losses)
