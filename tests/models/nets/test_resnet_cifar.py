"""ResNet for CIFAR: published size."""

from __future__ import annotations

import torch

from fewer import models


def test_resnet18_for_cifar_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in models.build("resnet18_cifar", 10, 32).parameters()) == 11_173_962
