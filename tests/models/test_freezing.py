"""Layers as they run, what a stage's `frozen` names of them, and which parameters are trained then."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fewer import models
from fewer.models.freezing import frozen_layers, layers_in_order, norms_of, set_trained
from fewer.models.skeleton import skeleton

LAYERS = ("stem", "body.0.conv", "body.0.norm", "body.1.conv", "body.1.norm", "head")


class Backwards(nn.Module):
    """Registers its layers the other way round than it runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.second = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.first = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.second(self.norm(self.first(x))))
        return out


def test_layers_stand_in_the_order_in_which_they_run_and_the_head_last() -> None:
    model = Backwards()
    found = layers_in_order(model, 3, lambda: model(torch.ones(2, 4)))
    assert found == (("first", "norm", "second", "head"), 1)


@pytest.mark.parametrize(
    ("name", "first", "last"), [("resnet18", "conv1", "layer4.1.bn2"), ("vit_b_16", "", "encoder.ln")]
)
def test_layers_of_published_nets(name: str, first: str, last: str) -> None:
    with skeleton():
        model = models.build(name, 7, 224)
    image = torch.zeros(2, 3, 224, 224, device="meta")
    with torch.no_grad():
        layers, head = layers_in_order(model, 7, lambda: model(image))
    assert (layers[0], layers[-1 - head], head) == (first, last, 1)
    owners = {parameter.rpartition(".")[0] for parameter, _ in model.named_parameters()}
    assert set(layers) == owners


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ((), 0),
        (("stem",), 1),
        (("body.0",), 3),
        (("body.0.conv", "body.1.conv"), 4),
        (("body",), 5),
        (("0%",), 0),
        (("50%",), 2),
        (("100%",), 5),
        (("all but the head",), 5),
        (("all before the last norm",), 4),
    ],
)
def test_names_and_shares_freeze_up_to_the_last_of_them(asked: tuple[str, ...], count: int) -> None:
    assert frozen_layers(asked, LAYERS, 1, {"body.0.norm", "body.1.norm"}) == count


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("boddy", 'no layer of this model is called "boddy"; did you mean "body"?'),
        ("zzz", "allowed: body, head, stem"),
        ("bod", 'did you mean "body"?'),
        ("head", 'the last layer, "head", must be trained'),
        ("all before the last norm", 'no layer before the head is a norm; say "all but the head"'),
    ],
)
def test_what_matches_nothing_or_leaves_nothing_is_refused(asked: str, said: str) -> None:
    with pytest.raises(ValueError, match="layer") as found:
        frozen_layers((asked,), LAYERS, 1)
    assert said in str(found.value)


@pytest.mark.parametrize(
    ("name", "last"), [("resnet18", "layer4.1.bn2"), ("convnext_tiny", "classifier.0"), ("vit_b_16", "encoder.ln")]
)
def test_the_last_norm_of_published_nets(name: str, last: str) -> None:
    with skeleton():
        model = models.build(name, 7, 224)
    with torch.no_grad():
        layers, head = layers_in_order(model, 7, lambda: model(torch.zeros(2, 3, 224, 224, device="meta")))
    assert layers[frozen_layers(("all before the last norm",), layers, head, norms_of(model))] == last


def test_the_stage_and_the_model_freeze_alike_and_what_they_leave_out_thaws() -> None:
    class Own(Backwards):
        changes_at = (2,)

        def frozen_in(self, epoch: int) -> list[str]:
            return ["second.bias"] if epoch >= 2 else []

    model = Own()
    model.head.bias.requires_grad_(False)
    held = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def trained(epoch: int, *frozen: str) -> list[str]:
        set_trained(model, held, epoch, frozen)
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    assert trained(0, "first", "norm") == ["head.weight", "second.weight", "second.bias"]
    assert trained(2, "first") == ["head.weight", "second.weight"]
    assert trained(0) == ["head.weight", "second.weight", "second.bias", "first.weight", "first.bias"]
