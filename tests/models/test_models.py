"""Models by name: names, keys, sides and first weights."""

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
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session.build import make_plan, open_data
from paths import ROOT


@pytest.mark.parametrize("name", ["cnn", "lenet5", "resnet18_cifar"])
@pytest.mark.parametrize("side", [16, 20, 32, 33, 64])
def test_our_own_models_take_every_side_from_16_px(name: str, side: int) -> None:
    width = 0.125 if name == "resnet18_cifar" else 0.1
    assert models.build(name, 7, side, width=width)(torch.randn(2, 3, side, side)).shape == (2, 7)


def test_the_names_are_those_that_the_libraries_list() -> None:
    ours = models.names()
    listed = set(torchvision.models.list_models(module=torchvision.models))
    own = {name for name in ours if ":" not in name and getattr(models.family(name), "TASK", "classify") == "classify"}
    assert own == listed | {"cnn", "lenet5", "resnet18_cifar"}
    if find_spec("timm"):
        import timm

        assert {name for name in ours if name.startswith("timm:")} == {f"timm:{name}" for name in timm.list_models()}


def test_names_keys_and_cards_need_no_torch() -> None:
    code = (
        "import sys; from fewer import models; models.names(); models.params('resnet18'); models.hint('resnet8');"
        "[models.card(each) for each in models.family_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_first_weights_depend_on_the_seed_alone() -> None:
    states = []
    for seed in (1, 1, 2):
        rng.reseed(seed, "model")
        states.append(models.build("resnet18", 3, 32).state_dict()["layer4.1.conv2.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"name": "resnet8"}, 'unknown model.name "resnet8"; did you mean "resnet18"?'),
        ({"name": "qqq"}, "allowed: cnn, lenet5, resnet18_cifar, a torchvision classifier"),
        ({"name": 7}, 'unknown model.name "7"'),
        ({"name": "lenet5.x"}, 'unknown model.name "lenet5.x"'),
        ({"name": "lenet5", "widht": 1.0}, 'unknown key "model.widht"; did you mean "model.width"?'),
        ({"name": "resnet18", "whiten": True}, 'unknown key "model.whiten"; it belongs to model.name = "cnn"'),
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


def test_recipes_keep_the_digest_that_they_had() -> None:
    """That of recipes/digits.toml, as it was before models had families, on a processor with bf16."""
    recipe = load_recipe(ROOT / "recipes" / "digits.toml", ["train.precision=bf16"])
    assert make_plan(recipe, open_data(recipe)).digest == "b86b1619c51aec46"
