"""Schedules of a recipe, and torch's own, stepped beside them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer.core.sections import section_of
from fewer.optim import lr_shape
from fewer.optim.shapes import Shape
from fewer.recipe.schema import TrainRecipe

STEPS = 40  # batches of the run


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)


def stepped(sgd: torch.optim.SGD, schedule: Any, steps: int = STEPS) -> list[tuple[float, float]]:
    """Learning rate and momentum at each step of torch's schedule."""
    seen = []
    for _ in range(steps):
        group = sgd.param_groups[0]
        seen.append((float(group["lr"]), float(group["momentum"])))
        sgd.step()
        schedule.step()
    return seen


def close(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-9, abs=1e-12)


def train(schedule: str, **keys: Any) -> Any:
    return section_of(TrainRecipe, schedule=schedule, **keys)


def rate(schedule: str, epochs: int = 100, **keys: Any) -> Shape:
    """A schedule of a run of so many epochs, by default one in which a percentage is a number of them."""
    return lr_shape(train(schedule, **keys), epochs)
