"""The convolutional net: published size, identity at the start, whitening."""

from __future__ import annotations

import torch

from fewer.models.nets.cnn import Cnn


def test_cnn_has_airbenchs_number_of_parameters() -> None:
    """airbench94's convolutions (widths 64, 256, 256), BatchNorm biases, 24-filter stem with bias, bare head."""
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 256 * 256 + 256 * 256)
    norms = 2 * (64 + 256 + 256)
    trained = sum(p.numel() for p in Cnn(10, whiten=True).parameters() if p.requires_grad)
    assert trained == convolutions + norms + 24 + 256 * 10


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
    assert [list(model.frozen_in(epoch)) for epoch in range(4)] == [[], [], ["stem.bias"], ["stem.bias"]]
    assert not model.stem.weight.requires_grad
