"""Statistics of BatchNorm: re-estimated by hand, and left alone where they are frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewer.core.types import Batch
from fewer.models.batchnorm import freeze_statistics, has_batchnorm, reestimate


def batches(*values: list[float]) -> list[Batch]:
    """Batches of images of one channel and one pixel."""
    return [
        Batch(torch.arange(len(each)), torch.tensor(each)[:, None, None, None], torch.zeros(len(each)))
        for each in values
    ]


def forward(model: nn.Module, inputs: Tensor) -> Tensor:
    out: Tensor = model(inputs)
    return out


def test_statistics_are_the_mean_of_those_of_the_batches() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.9)).eval()
    model[0].running_mean.fill_(99.0)
    assert reestimate(model, batches([0.0, 2.0], [10.0, 16.0]), forward) == 4
    assert model[0].running_mean.item() == 7.0  # of 1 and 13
    assert model[0].running_var.item() == 10.0  # of 2 and 18, unbiased
    assert not any(layer.training for layer in model.modules())
    assert model[0].momentum == 0.1


def test_frozen_layers_keep_their_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1)).eval()
    model[0].requires_grad_(False)
    reestimate(model, batches([4.0, 6.0]), forward)
    assert (model[0].running_mean.item(), model[1].running_mean.item() > 4.9) == (0.0, True)
    model.train()
    freeze_statistics(model)
    assert [layer.training for layer in model] == [False, True]


def test_only_running_statistics_count() -> None:
    assert has_batchnorm(nn.Sequential(nn.BatchNorm1d(2)))
    assert not has_batchnorm(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.GroupNorm(1, 2)))
