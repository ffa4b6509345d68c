"""A small network, a recipe that trains it, and weights for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fewer import models
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe

CIFAR = {"name": "resnet18_cifar", "width": 0.125}


def recipe(model: dict[str, Any] = CIFAR, **data: Any) -> Recipe:
    return parse_recipe(
        {
            "data": {"source": "digits", "test": "93%", "val": "none", **data},
            "model": model,
            "train": {"batch_size": 40, "precision": "fp32"},
            "stages": [{"epochs": 1, "side_px": 16}],
        }
    )


def state(seed: int = 7, classes: int = 10, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    content = {"width": 0.125, **options}
    return {k: v.clone() for k, v in models.build("resnet18_cifar", classes, 16, **content).state_dict().items()}
