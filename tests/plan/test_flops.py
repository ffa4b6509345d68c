"""FLOPs counted against formulas, and again where layers are frozen later."""

from __future__ import annotations

import torch
from torch import nn

from fewer.plan.flops import Flops, flops_by_epoch, sample_flops, unfrozen_flops
from fewer.tasks.classify.task import Classify

TASK = Classify(list("abcde"))
SIDE, PIXELS = 4, 3 * 4 * 4
FIRST, SECOND = 2 * PIXELS * 8, 2 * 8 * 5  # a multiply and an add for every weight


class Frozen(nn.Sequential):
    """Two linear layers; the first is frozen from epoch 2 on."""

    changes_at = (0, 2, 9)

    def prepare(self, epoch: int) -> None:
        self[1].requires_grad_(epoch < 2)


def network(kind: type[nn.Sequential]) -> nn.Module:
    with torch.device("meta"):
        return kind(nn.Flatten(), nn.Linear(PIXELS, 8), nn.Linear(8, 5))


def test_a_linear_layer_costs_two_flops_a_weight_and_twice_as_much_backward() -> None:
    model = network(nn.Sequential)
    forward, backward = sample_flops(TASK, model, SIDE)
    assert forward == FIRST + SECOND
    assert backward == FIRST + 2 * SECOND, "images have no gradient"
    assert flops_by_epoch(TASK, model, SIDE, 5) == (Flops(0, forward, backward),)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_frozen_costs_no_gradient_from_its_epoch_on() -> None:
    model = network(Frozen)
    plain = 2 * FIRST + 3 * SECOND
    assert [flops.from_epoch for flops in flops_by_epoch(TASK, model, SIDE, 5)] == [0, 2], "epoch 9 lies behind the end"
    assert [flops.training for flops in flops_by_epoch(TASK, model, SIDE, 5)] == [plain, FIRST + 2 * SECOND]
    assert unfrozen_flops(TASK, model, SIDE) == plain
