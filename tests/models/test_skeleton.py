"""A model's structure without memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import models
from fewer.models.skeleton import is_its_state, skeleton

HIDDEN = ("buffer", "attribute", "list", "dict")


class Hidden(nn.Module):
    """A module with a tensor that its state does not hold."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        if where == "buffer":
            self.register_buffer("mask", torch.ones(2), persistent=False)
        elif where:
            self.held = {"attribute": torch.ones(2), "list": [torch.ones(2)], "dict": {"a": torch.ones(2)}}[where]


@pytest.mark.parametrize(
    ("where", "whole"), [("", True), *((w, False) for w in ("buffer", "attribute", "list", "dict"))]
)
def test_a_state_completes_a_model_that_holds_no_other_tensor(where: str, whole: bool) -> None:
    with skeleton():
        module = Hidden(where)
    assert module.weight.is_meta
    assert is_its_state(nn.Sequential(module)) is whole


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "vit_b_16"])
def test_a_skeleton_has_the_names_and_shapes_of_the_model(name: str) -> None:
    """Nothing is drawn in it: neither values, nor numbers from anybody's stream."""
    before = torch.random.get_rng_state()
    with skeleton():
        bare = models.build(name, 3, 32)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(value.is_meta for value in bare.state_dict().values())
    assert is_its_state(bare)
    if name != "vit_b_16":
        whole = models.build(name, 3, 32)
        assert {n: (v.shape, v.dtype) for n, v in bare.state_dict().items()} == {
            n: (v.shape, v.dtype) for n, v in whole.state_dict().items()
        }
