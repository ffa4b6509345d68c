"""The cut before a net's head: the features there, put into the head, give the net's output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import models
from fewer.models.cut import Features, cut_before_head


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
