"""Every kind of segmentation network learns four pictures by heart."""

from __future__ import annotations

import pytest
import torch

from fewer import models
from fewer.core.types import At
from fewer.sync.comm import SingleProcess
from fewer.tasks.segment.task import Segment
from masks import batch_of, random_ids, training

WIDE, SMALL = (64, 96), (32, 48)


@pytest.mark.parametrize(
    ("name", "frame", "steps", "lr"),
    [
        ("lraspp_mobilenet_v2", WIDE, 15, 0.01),
        ("deeplabv3_mobilenet_v2", WIDE, 20, 0.003),
        ("lraspp_mobilenet_v3_large", WIDE, 15, 0.01),
        ("fcn_resnet50", SMALL, 12, 0.001),
        ("smp:unet", SMALL, 12, 0.005),
    ],
)
def test_four_pictures_are_learnt_by_heart(name: str, frame: tuple[int, int], steps: int, lr: float) -> None:
    if name.startswith("smp"):
        pytest.importorskip("segmentation_models_pytorch")
    height, width = frame
    sizes = [frame, (height - 5, width), (height, width - 16), (height - 14, width - 6)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, task = models.build(name, 3, 96), Segment(3)
        batch = batch_of(random_ids(2, sizes, block=height // 2), frame)
        seen, before = training(batch), task.evaluate(net, [batch], SingleProcess()).scalars
        for layer in net.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.5  # few steps
        optimizer = torch.optim.Adam(net.parameters(), lr=lr)
        net.train()
        for _ in range(steps):
            optimizer.zero_grad()
            outcome = task.outcome(net, seen, At(0, 1, 0.0))
            (outcome.loss_sum_B.sum() / outcome.count_B.sum()).backward()
            optimizer.step()
    after = task.evaluate(net, [batch], SingleProcess()).scalars
    assert after["loss"] < before["loss"] / 2
    assert after["miou"] > max(0.7, before["miou"])
