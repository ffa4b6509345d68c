"""Blocks of nets: timm's own, and in other nets those that timm would find."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import models
from fewer.models.blocks import block_numbers, ends, rate_factors
from fewer.models.freezing import layers_in_order
from fewer.models.skeleton import skeleton


def net(name: str, classes: int = 7) -> tuple[nn.Module, tuple[str, ...]]:
    with skeleton():
        model = models.build(name, classes, 64)
    image = torch.zeros(2, 3, 64, 64, device="meta")
    with torch.no_grad():
        return model, layers_in_order(model, classes, lambda: model(image))[0]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_rates_are_those_of_timms_own_groups(name: str) -> None:
    pytest.importorskip("timm")
    from timm.optim import param_groups_layer_decay

    model, layers = net(f"timm:{name}")
    ours, named = rate_factors(model, layers, 7, 0.75), {id(p): n for n, p in model.named_parameters()}
    theirs = {
        named[id(parameter)]: group["lr_scale"]
        for group in param_groups_layer_decay(model, layer_decay=0.75)
        for parameter in group["params"]
    }
    assert ours == pytest.approx(theirs)
    assert len(set(ours.values())) > 10


def test_torchvisions_net_has_the_blocks_that_timm_finds_in_its_own() -> None:
    pytest.importorskip("timm")
    ours, theirs = (block_numbers(*net(name), 7) for name in ("resnet18", "timm:resnet18"))
    assert ours == theirs
    assert max(ours.values()) == 9


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("lenet5", {"conv1": 0, "conv2": 1}),
        ("cnn", {"stem": 0, "block1.conv1": 1, "block1.norm1": 1, "block1.conv2": 2, "block3.norm2": 6, "head": 7}),
        ("mobilenet_v2", {"features.0.1": 0, "features.1.conv.0.0": 1, "features.17.conv.3": 17, "classifier.1": 19}),
        ("convnext_tiny", {"features.0.0": 0, "features.1.0.block.0": 1, "features.1.1.block.5": 2}),
    ],
)
def test_a_block_is_a_numbered_module_or_a_matrix_with_its_norm(name: str, blocks: dict[str, int]) -> None:
    numbers = block_numbers(*net(name), 7)
    assert {layer: numbers.get(f"{layer}.weight", numbers.get(f"{layer}.bias")) for layer in blocks} == blocks


def test_a_parameter_of_a_blocks_own_is_in_the_block_and_tokens_are_no_block() -> None:
    convnext, vit = (block_numbers(*net(name), 7) for name in ("convnext_tiny", "vit_b_32"))
    assert convnext["features.5.8.layer_scale"] == convnext["features.5.8.block.0.weight"] == 17
    assert max(convnext.values()) == 22
    assert vit["class_token"] == vit["conv_proj.weight"] == vit["encoder.pos_embedding"] == 0
    assert max(vit.values()) == 13, "as many as timm's ViT of twelve blocks has"


def test_the_head_learns_at_the_full_rate_and_the_first_block_least() -> None:
    factors = rate_factors(*net("lenet5"), 7, 0.5)
    assert sorted(set(factors.values())) == [0.0625, 0.125, 0.25, 0.5, 1.0]
    assert factors["conv1.weight"] == factors["conv1.bias"] == 0.0625


def test_the_first_layer_of_a_net_with_tokens_is_the_one_that_takes_the_images() -> None:
    with skeleton():
        vit, resnet = models.build("vit_b_16", 10, 224), models.build("resnet18_cifar", 10, 32)
    assert ends(vit, 10) == {"conv_proj", "heads.head"}
    assert ends(resnet, 10) == {"conv1", "fc"}
