"""The convolutional net: published size, identity at the start, whitening."""

from __future__ import annotations

import torch

from fewer import models
from fewer.core.sections import section_of
from fewer.models import ModelParams
from fewer.models.nets.cnn import Activation, Cnn


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


def test_a_whitening_bias_of_no_epochs_is_never_trained() -> None:
    model = Cnn(10, whiten=True, whiten_bias_epochs=0)
    assert [list(model.frozen_in(epoch)) for epoch in range(2)] == [["stem.bias"], ["stem.bias"]]


def test_the_blocks_activation_is_a_choice_and_the_first_layers_is_not() -> None:
    names: list[Activation] = ["gelu", "silu"]
    nets = {name: Cnn(10, width=0.2, activation=name).eval() for name in names}
    nets["silu"].load_state_dict(nets["gelu"].state_dict())
    image_BCHW = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        stems = [torch.nn.functional.gelu(model.stem(image_BCHW)) for model in nets.values()]
        assert torch.equal(*stems)
        block = nets["silu"].block1
        x = torch.nn.functional.max_pool2d(block.conv1(stems[0]), 2)
        expected = torch.nn.functional.silu(block.norm2(block.conv2(torch.nn.functional.silu(block.norm1(x)))))
        assert torch.equal(block(stems[0]), expected)
        assert not torch.equal(nets["gelu"].block1(stems[0]), expected)


def test_the_filters_are_made_from_as_many_images_as_asked_for() -> None:
    given: list[dict[str, int]] = [{}, {"whiten_images": 960}]
    asked = [section_of(ModelParams, name="cnn", whiten=True, **keys) for keys in given]
    assert [params.first_images for params in asked] == [5000, 960]
    models.build("cnn", 10, 32, **asked[1].model_dump(exclude={"name"}))
