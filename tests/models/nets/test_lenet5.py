"""LeNet-5: published size, arithmetic by hand, dropout."""

from __future__ import annotations

import torch

from fewer import models
from fewer.models.nets.lenet5 import LeNet5
from fewer.plan.flops import sample_flops
from fewer.tasks.classify.task import Classify


def test_lenet5_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in LeNet5(100).parameters()) == 815_332


def test_flops_are_those_of_the_multiplications() -> None:
    """LeNet-5 at 32 px by hand: 2 x multiply-accumulates of two convolutions and three linear layers."""
    by_hand = 2 * (28 * 28 * 64 * 75 + 10 * 10 * 64 * 1600 + 1600 * 384 + 384 * 192 + 192 * 10)
    with torch.device("meta"):
        forward, backward = sample_flops(Classify(list("0123456789")), LeNet5(10), 32)
    assert forward == by_hand
    first_input = 2 * 28 * 28 * 64 * 75  # the images need no gradient
    assert backward == 2 * by_hand - first_input


def test_dropout_drops_in_training_alone() -> None:
    model = models.build("lenet5", 4, 16, width=0.2, dropout=0.5)
    images = torch.randn(2, 3, 16, 16)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), model(images))
