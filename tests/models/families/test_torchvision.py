"""Models of libraries: their own logits, their published arithmetic."""

from __future__ import annotations

import pytest
import torch
import torchvision

from fewer import models
from fewer.core import rng
from fewer.models.dry_run import take
from fewer.plan.flops import sample_flops
from fewer.tasks.classify.task import Classify


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


def test_flops_of_resnet18_are_the_published_ones() -> None:
    """torchvision states 1.814 G multiply-accumulates at 224 px."""
    task = Classify([str(number) for number in range(1000)])
    forward, _ = sample_flops(task, take(models.params("resnet18")(name="resnet18"), 1000, [224], task), 224)
    assert forward / 2e9 == pytest.approx(1.814, abs=0.001)
