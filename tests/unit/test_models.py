"""Models: the published sizes, the sides they take, and what the whitening layer does."""

from __future__ import annotations

import pytest
import torch

from fewer import models
from fewer.facts import sample_flops
from fewer.models.cnn import Cnn
from fewer.models.lenet5 import LeNet5


def test_lenet5_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in LeNet5(100).parameters()) == 815_332


def test_cnn_has_airbenchs_number_of_parameters() -> None:
    """airbench94's convolutions (widths 64, 256, 256), BatchNorm biases, 24-filter stem with bias, bare head."""
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 256 * 256 + 256 * 256)
    norms = 2 * (64 + 256 + 256)
    trained = sum(p.numel() for p in Cnn(10, whiten=True).parameters() if p.requires_grad)
    assert trained == convolutions + norms + 24 + 256 * 10


@pytest.mark.parametrize("name", list(models.ACCEPTS))
@pytest.mark.parametrize("side", [16, 20, 32, 33, 64])
def test_every_model_takes_every_side_it_says(name: str, side: int) -> None:
    options = {"width": 0.1, "whiten": False, "whiten_bias_epochs": 3, "batchnorm_momentum": 0.4, "logit_scale": 1.0}
    model = models.build(name, 7, side, **options)
    assert model(torch.randn(2, 3, side, side)).shape == (2, 7)


def test_convolutions_start_as_the_identity_on_their_first_channels() -> None:
    model = Cnn(10, width=0.25)
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(model.block2.conv2(x)[:, :64], x)


def test_the_whitening_layer_whitens() -> None:
    """Over all 2x2 patches the first twelve outputs are uncorrelated, with unit variance, by second moments."""
    images = torch.randn(64, 3, 16, 16)
    images = images + images.roll(1, -1) + 0.5 * images.mean(1, keepdim=True)
    model = Cnn(10, whiten=True)
    model.whiten(images, eps=0.0)
    with torch.no_grad():
        out = torch.nn.functional.conv2d(images, model.stem.weight).permute(0, 2, 3, 1).reshape(-1, 24)
    moments = out.T @ out / len(out)
    assert torch.allclose(moments[:12, :12], torch.eye(12), atol=1e-3)
    assert torch.equal(model.stem.weight[:12], -model.stem.weight[12:])


def test_the_whitening_bias_is_frozen_after_its_epochs() -> None:
    model = Cnn(10, whiten=True, whiten_bias_epochs=2)
    trained = []
    for epoch in range(4):
        model.prepare(epoch)
        trained.append(model.stem.bias.requires_grad)
    assert trained == [True, True, False, False]
    assert not model.stem.weight.requires_grad


def test_flops_are_those_of_the_multiplications() -> None:
    """LeNet-5 at 32 px by hand: 2 x multiply-accumulates of two convolutions and three linear layers."""
    by_hand = 2 * (28 * 28 * 64 * 75 + 10 * 10 * 64 * 1600 + 1600 * 384 + 384 * 192 + 192 * 10)
    with torch.device("meta"):
        forward, backward = sample_flops(LeNet5(10), 32)
    assert forward == by_hand
    first_input = 2 * 28 * 28 * 64 * 75  # the images need no gradient
    assert backward == 2 * by_hand - first_input
