"""The cut before a net's head: the features there, put into the head, give the net's output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import models
from fewer.models.cut import Features, cut_before_head, cut_inside


@pytest.mark.parametrize(
    ("name", "head", "features"),
    [("resnet18", "fc", (512,)), ("mobilenet_v2", "classifier.1", (1280,)), ("timm:resnet10t", "fc", (512,))],
)
def test_features_and_head_are_the_net(name: str, head: str, features: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, images = models.build(name, 3, 64).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        cut = cut_before_head(model, 3, lambda: model(images))
        assert cut is not None
        assert (cut.head, cut.features) == (head, features)
        with Features(model, cut) as seen:
            output = model(images)
        assert torch.equal(model.get_submodule(head)(seen[0]), output)
    assert len(seen) == 1
    model(images)
    assert len(seen) == 1, "closed"


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) / 9


def test_what_comes_behind_the_head_leaves_no_cut() -> None:
    model = Scaled()
    assert cut_before_head(model, 3, lambda: model(torch.zeros(2, 4))) is None


def frozen_layers(model: nn.Module, *above: str) -> set[str]:
    own = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    return {name for name in own if any(name == each or name.startswith(f"{each}.") for each in above)}


@pytest.mark.parametrize(
    ("name", "frozen", "last", "features"),
    [
        ("resnet18", ["conv1", "bn1"], "maxpool", (64, 16, 16)),
        ("resnet18", ["conv1", "bn1", "layer1", "layer2.0"], "layer2.0", (128, 8, 8)),
        ("resnet18", ["conv1", "bn1", "layer1", "layer2.0", "layer2.1.conv1"], "layer2.0", (128, 8, 8)),
        ("mobilenet_v2", [f"features.{number}" for number in range(9)], "features.8", (64, 4, 4)),
        ("timm:resnet10t", ["conv1", "bn1", "layer1"], "layer1.0", (64, 16, 16)),
    ],
)
def test_features_from_inside_and_the_rest_are_the_net(
    name: str, frozen: list[str], last: str, features: tuple[int, ...]
) -> None:
    model = models.build(name, 3, 64)
    cut = cut_inside(model, frozen_layers(model, *frozen), 64)
    assert cut is not None
    assert (cut.passed[-1], cut.features) == (last, features)
    model, images = models.build(name, 3, 64).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad(), Features(model, cut) as seen:
        output = model(images)
    assert torch.equal(cut.rest(model)(seen[0]), output)
    assert torch.equal(model(images), output), "the net is as it was"


class Skipping(nn.Module):
    """A net whose last layer also sees what the first gave."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Linear(3, 2)
        self.skips = skips

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.one(x)
        two = self.two(one)
        return self.head((two + one if self.skips else two).mean((2, 3)))


class Squared(Skipping):
    """A net that computes between its modules."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * x)


def test_a_net_that_needs_more_than_one_tensor_is_not_cut_there() -> None:
    frozen = {"one", "two"}
    assert cut_inside(Skipping(skips=False), frozen, 8) is not None
    assert cut_inside(Skipping(skips=True), frozen, 8) is None
    assert cut_inside(Skipping(skips=True), {"one"}, 8) is not None, "one tensor is all that comes behind it"
    assert cut_inside(Squared(skips=False), {"one"}, 8) is None
    assert cut_inside(Skipping(skips=False), {"two"}, 8) is None, "the first module is trained"
