"""The memory of a training step, by the count of what its tensors hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import tasks
from fewer.plan.step_memory import StepMemory, step_memory

SIDE_PX, UNITS = 8, 1000
INPUT_BYTES = 3 * SIDE_PX**2 * 4


def counted(*layers: nn.Module, units: int = UNITS) -> StepMemory:
    """Of a hidden layer of so many units, behind which other layers may come before the last."""
    inputs = 3 * SIDE_PX**2
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, units), *layers, nn.Linear(units, 2)).to("meta")
    return step_memory(tasks.module("classify").plain(("a", "b")), net, SIDE_PX)


def test_what_a_step_holds_at_its_highest_point_is_worked_out_by_hand() -> None:
    found = counted(nn.ReLU())
    assert found.weight_bytes == 4 * (3 * SIDE_PX**2 * UNITS + UNITS + 2 * UNITS + 2)
    # In the backward of the ReLU: what it gave, its gradient, and that of what it was given; each 4 bytes a unit.
    assert found.image_bytes == pytest.approx(3 * 4 * UNITS + 3 * INPUT_BYTES, rel=0.01)


def test_what_is_changed_in_place_is_counted_once_and_what_a_layer_keeps_in_addition() -> None:
    assert counted(nn.ReLU(inplace=True)).image_bytes == counted(nn.ReLU()).image_bytes
    deeper = counted(nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU())
    assert deeper.image_bytes - counted(nn.ReLU()).image_bytes == pytest.approx(4 * UNITS, rel=0.01)


def test_large_weights_do_not_hide_what_images_take() -> None:
    wide = counted(nn.ReLU(), units=64 * UNITS)
    assert wide.image_bytes - 3 * INPUT_BYTES == pytest.approx(3 * 4 * 64 * UNITS, rel=0.01)


def test_a_count_leaves_the_net_without_gradients() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE_PX**2, 2)).to("meta")
    step_memory(tasks.module("classify").plain(("a", "b")), net, SIDE_PX)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(isinstance(parameter, torch.nn.Parameter) for parameter in net.parameters())
