"""Models: the published sizes, the sides they take, and what the whitening layer does."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch
import torchvision

from fewer import models
from fewer.core import rng
from fewer.core.errors import RecipeError
from fewer.models.dry_run import take
from fewer.models.nets.cnn import Cnn
from fewer.models.nets.lenet5 import LeNet5
from fewer.models.stem import reduction
from fewer.plan.facts import sample_flops
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session.build import make_plan, open_data
from paths import ROOT


def test_lenet5_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in LeNet5(100).parameters()) == 815_332


def test_cnn_has_airbenchs_number_of_parameters() -> None:
    """airbench94's convolutions (widths 64, 256, 256), BatchNorm biases, 24-filter stem with bias, bare head."""
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 256 * 256 + 256 * 256)
    norms = 2 * (64 + 256 + 256)
    trained = sum(p.numel() for p in Cnn(10, whiten=True).parameters() if p.requires_grad)
    assert trained == convolutions + norms + 24 + 256 * 10


@pytest.mark.parametrize("name", ["cnn", "lenet5", "resnet18_cifar"])
@pytest.mark.parametrize("side", [16, 20, 32, 33, 64])
def test_our_own_models_take_every_side_from_16_px(name: str, side: int) -> None:
    width = 0.125 if name == "resnet18_cifar" else 0.1
    assert models.build(name, 7, side, width=width)(torch.randn(2, 3, side, side)).shape == (2, 7)


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


def test_the_names_are_those_that_the_libraries_list() -> None:
    ours = models.names()
    listed = set(torchvision.models.list_models(module=torchvision.models))
    assert {name for name in ours if ":" not in name} == listed | {"cnn", "lenet5", "resnet18_cifar"}
    if find_spec("timm"):
        import timm

        assert {name for name in ours if ":" in name} == {f"timm:{name}" for name in timm.list_models()}


def test_names_keys_and_cards_need_no_torch() -> None:
    code = (
        "import sys; from fewer import models; models.names(); models.params('resnet18'); models.hint('resnet8');"
        "[models.card(each) for each in models.family_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "googlenet", "timm:resnet10t"])
def test_logits_are_those_of_the_librarys_own_model(name: str) -> None:
    """Built directly with the same numbers: equal, bit for bit. Auxiliary heads add nothing in evaluation."""
    rng.reseed(3, "model")
    ours = models.build(name, 7, 64).eval()
    if name.startswith("timm:"):
        timm = pytest.importorskip("timm")
        theirs = timm.create_model(name.removeprefix("timm:"), num_classes=7)
    else:
        extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        theirs = torchvision.models.get_model(name, num_classes=7, **extra)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(images), theirs.eval()(images))


def test_first_weights_depend_on_the_seed_alone() -> None:
    states = []
    for seed in (1, 1, 2):
        rng.reseed(seed, "model")
        states.append(models.build("resnet18", 3, 32).state_dict()["layer4.1.conv2.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_resnet18_for_cifar_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in models.build("resnet18_cifar", 10, 32).parameters()) == 11_173_962


def test_flops_of_resnet18_are_the_published_ones() -> None:
    """torchvision states 1.814 G multiply-accumulates at 224 px."""
    forward, _ = sample_flops(take(models.params("resnet18")(name="resnet18"), 1000, [224]), 224)
    assert forward / 2e9 == pytest.approx(1.814, abs=0.001)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("resnet18", 4, 2), ("squeezenet1_1", 4, 1), ("convnext_tiny", 4, 2)],
)
def test_a_small_stem_reduces_small_images_less(name: str, before: int, after: int) -> None:
    """The next stage's stride is what is left: two for nets whose second stage strides by a convolution."""
    own, small = (take(models.params(name)(name=name, stem=stem), 5, [32]) for stem in ("own", "small"))
    assert (reduction(own, 32), reduction(small, 32)) == (before, after)
    assert sample_flops(small, 32)[0] > 3 * sample_flops(own, 32)[0]


def test_the_small_stem_of_resnet18_is_that_of_the_cifar_net() -> None:
    """Same names, shapes and logits as the net that was made for CIFAR."""
    small = models.build("resnet18", 10, 32, stem="small").eval()
    cifar = models.build("resnet18_cifar", 10, 32).eval()
    cifar.load_state_dict(small.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(small(images), cifar(images))
    variance = small.conv1.weight.var().item()
    assert variance == pytest.approx(2 / (64 * 9), rel=0.15)  # He's, for a 3x3 kernel


@pytest.mark.parametrize(
    ("model", "sides", "said"),
    [
        ({"name": "vit_b_32"}, [100], "does not take images of 100 px.*set side_px = 96"),
        ({"name": "vit_b_32"}, [32, 64], "one side, here 64 px.*side_px = 64"),
        ({"name": "inception_v3"}, [64], "set side_px = 75"),
        ({"name": "lenet5"}, [12], "does not take images of 12 px"),
        ({"name": "vgg11", "stem": "small"}, [64], "no first layer that reduces"),
        ({"name": "vit_b_32", "stem": "small"}, [64], "patches of 32 px"),
        ({"name": "resnet18", "dropout": 0.1}, [64], "resnet18.*no dropout"),
    ],
)
def test_what_a_model_cannot_do_is_said_with_a_fix(model: dict[str, Any], sides: list[int], said: str) -> None:
    stages = [{"epochs": 1, "side_px": side} for side in sides]
    recipe = parse_recipe({"data": {"source": "digits"}, "model": model, "stages": stages})
    with pytest.raises(RecipeError, match=said):
        make_plan(recipe, open_data(recipe))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"name": "resnet8"}, 'unknown model.name "resnet8"; did you mean "resnet18"?'),
        ({"name": "qqq"}, "allowed: cnn, lenet5, resnet18_cifar, a torchvision classifier"),
        ({"name": 7}, 'unknown model.name "7"'),
        ({"name": "lenet5.x"}, 'unknown model.name "lenet5.x"'),
        ({"name": "lenet5", "widht": 1.0}, 'unknown key "model.widht"; did you mean "model.width"?'),
        ({"name": "resnet18", "whiten": True}, 'unknown key "model.whiten"; it belongs to model.name = cnn'),
        ({"name": "resnet18", "stem": "tiny"}, "model.stem = 'tiny'"),
        ({"name": "lenet5", "dropout": 1.0}, "model.dropout = 1.0"),
        ({"name": "lenet5", "weights": ""}, "model.weights = ''"),
        ({"width": 1.0}, '"model.name" is missing'),
        ("lenet5", '"model" is a section'),
    ],
)
def test_keys_are_those_of_the_models_family(model: Any, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"data": {"source": "digits"}, "model": model})
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1


def test_timm_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    monkeypatch.setattr(models, "_family_of", lambda: {"lenet5": "lenet5"})
    with pytest.raises(KeyError) as caught:
        models.params("timm:resnet10t")
    assert "pip install timm" in caught.value.args[0]


def test_a_coarse_stem_on_small_images_is_noted() -> None:
    notes = []
    for stem in ("own", "small"):
        content = {"data": {"source": "digits"}, "model": {"name": "resnet18", "stem": stem}}
        recipe = parse_recipe(content)
        notes.append([note for note in make_plan(recipe, open_data(recipe)).notes if "first layers" in note])
    assert notes == [
        ['the first layers of "resnet18" leave 8 px of images of 32 px; model.stem = "small" keeps more'],
        [],
    ]


def test_recipes_keep_the_digest_that_they_had() -> None:
    """That of recipes/digits.toml, as it was before models had families, on a processor with bf16."""
    recipe = load_recipe(ROOT / "recipes" / "digits.toml", ["train.precision=bf16"])
    assert make_plan(recipe, open_data(recipe)).digest == "b86b1619c51aec46"


def test_dropout_drops_in_training_alone() -> None:
    model = models.build("lenet5", 4, 16, width=0.2, dropout=0.5)
    images = torch.randn(2, 3, 16, 16)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), model(images))
