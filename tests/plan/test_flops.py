"""FLOPs of a sample, against numbers worked out by hand, against shapes alone, and again where layers freeze later."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fewer import models
from fewer.core.types import At
from fewer.models import dry_run
from fewer.plan.flops import Flops, flops_by_epoch, sample_flops, unfrozen_flops
from fewer.tasks.classify.task import Classify
from fewer.testing.flops import FlopsFromShapes

TASK = Classify(list("abcde"))
SIDE, PIXELS = 4, 3 * 4 * 4
FIRST, SECOND = 2 * PIXELS * 8, 2 * 8 * 5  # a multiply and an add for every weight


class Frozen(nn.Sequential):
    """Two linear layers; the first is frozen from epoch 2 on."""

    changes_at = (0, 2, 9)

    def frozen_in(self, epoch: int) -> list[str]:
        return [] if epoch < 2 else ["1.weight", "1.bias"]


def network(kind: type[nn.Sequential]) -> nn.Module:
    with torch.device("meta"):
        return kind(nn.Flatten(), nn.Linear(PIXELS, 8), nn.Linear(8, 5))


def from_shapes(model: nn.Module, side_px: int, task: Classify = TASK) -> tuple[int, int]:
    """FLOPs of one sample's forward and backward by the independent counter."""
    weight = next(model.parameters())
    batch = task.dummy_batch(side_px, weight.device, weight.dtype)
    with FlopsFromShapes() as counter:
        task.outcome(model, batch, At(0, 1, 0.0)).loss_sum_B.sum().backward()
    model.zero_grad()
    return counter.forward // len(batch), counter.backward // len(batch)


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


def test_what_a_stage_freezes_is_counted_beside_what_it_does_not() -> None:
    model = network(nn.Sequential)
    plain, frozen = flops_by_epoch(TASK, model, SIDE, 5, ("1", "2"), {0, 1})
    assert (plain.frozen_layers, frozen.frozen_layers) == (0, 1)
    assert frozen.training == FIRST + 2 * SECOND
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_steps_of_an_optimizer_count_for_what_is_trained() -> None:
    def trained(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    plain, frozen = flops_by_epoch(TASK, network(nn.Sequential), SIDE, 5, ("1", "2"), {0, 1}, trained)
    assert plain.step > frozen.step > 0


# --- One layer -----------------------------------------------------------------------------------------------------


class Layer(nn.Module):
    """One layer and no other product: its input needs a gradient or not, its output's first five values are logits."""

    def __init__(self, layer: nn.Module, call: Callable[[nn.Module, Tensor], Any], learns_input: bool) -> None:
        super().__init__()
        self.layer, self.call = layer, call
        self.shift = nn.Parameter(torch.zeros(3, 8, 8), requires_grad=learns_input)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        out = self.call(self.layer, image_BCHW + self.shift)
        logits: Tensor = (out[0] if isinstance(out, tuple) else out).flatten(1)[:, :5]
        return logits


def plain(layer: nn.Module, x: Tensor) -> Any:
    return layer(x)


def six(layer: nn.Module, x: Tensor) -> Any:
    return layer(torch.cat([x, x], dim=1))


def tokens(layer: nn.Module, x: Tensor) -> Any:
    """Eight tokens of 24 values."""
    return layer(x.permute(0, 2, 3, 1).reshape(-1, 8, 24))


def last(layer: nn.Module, x: Tensor) -> Any:
    """The last of the tokens."""
    return layer(x.permute(0, 2, 3, 1).reshape(-1, 8, 24)[:, -1])


def attended(layer: nn.Module, x: Tensor) -> Any:
    """Each token attends to all."""
    query = x.permute(0, 2, 3, 1).reshape(-1, 8, 24)
    return layer(query, query, query)


class Heads(nn.Module):
    """Scaled dot-product attention of four heads with 6 values, without weights."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 8, 4, 6).transpose(1, 2)
        return functional.scaled_dot_product_attention(x, x, x)


CONV = 2 * 64 * 9  # of one channel with one other, at every pixel
PROJECTION, SCORES = 2 * 8 * 24 * 24, 2 * 2 * 8 * 8 * 24  # of tokens; of all heads, and their values
IN, STATE = 2 * 8 * 24 * 10, 2 * 8 * 10 * 10  # of a recurrent layer: each token's values, and the state before it
LATER = STATE * 7 // 8  # the first of eight states is not learnt

# A layer, its call, and FLOPs of its forward, of the gradient without that of its input, and of that of its input.
LAYERS: dict[str, tuple[nn.Module, Callable[[nn.Module, Tensor], Any], int, int, int]] = {
    "convolution": (nn.Conv2d(3, 6, 3, padding=1), plain, 18 * CONV, 18 * CONV, 18 * CONV),
    "strided, dilated": (nn.Conv2d(3, 8, 3, 2, 2, 2), plain, 6 * CONV, 6 * CONV, 6 * CONV),
    "grouped": (nn.Conv2d(6, 12, 3, padding=1, groups=3), six, 24 * CONV, 24 * CONV, 24 * CONV),
    "depthwise": (nn.Conv2d(3, 3, 3, padding=1, groups=3), plain, 3 * CONV, 3 * CONV, 3 * CONV),
    "transposed": (nn.ConvTranspose2d(6, 4, 3, 2), six, 24 * CONV, 24 * CONV, 24 * CONV),
    "transposed, grouped": (nn.ConvTranspose2d(6, 4, 3, 2, groups=2), six, 12 * CONV, 12 * CONV, 12 * CONV),
    "1-d, grouped": (nn.Conv1d(8, 4, 3, padding=1, groups=4), tokens, 2 * 24 * 24, 2 * 24 * 24, 2 * 24 * 24),
    "linear": (nn.Linear(24, 48), tokens, 2 * PROJECTION, 2 * PROJECTION, 2 * PROJECTION),
    "linear, no bias": (nn.Linear(24, 48, bias=False), tokens, 2 * PROJECTION, 2 * PROJECTION, 2 * PROJECTION),
    "attention": (Heads(), tokens, SCORES, 0, 2 * SCORES),
    "multi-head attention": (
        nn.MultiheadAttention(24, 4, batch_first=True),
        attended,
        4 * PROJECTION + SCORES,
        5 * PROJECTION + 2 * SCORES,  # the last projection's input has a gradient
        3 * PROJECTION,
    ),
    "RNN": (nn.RNN(24, 10, batch_first=True), tokens, IN + STATE, IN + STATE + LATER, IN),
    "GRU": (nn.GRU(24, 10, batch_first=True), tokens, 3 * (IN + STATE), 3 * (IN + STATE + LATER), 3 * IN),
    "LSTM": (nn.LSTM(24, 10, batch_first=True), tokens, 4 * (IN + STATE), 4 * (IN + STATE + LATER), 4 * IN),
    "LSTM cell": (nn.LSTMCell(24, 10), last, (IN + STATE) // 2, (IN + STATE) // 2, IN // 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_costs_what_a_hand_works_out(name: str) -> None:
    """By both counters; on the CPU and on "meta", which take other kernels, by that of plans."""
    layer, call, forward, weights, of_input = LAYERS[name]
    for learns_input in (False, True):
        by_hand = forward, (weights + of_input if learns_input else weights)
        model = Layer(copy.deepcopy(layer), call, learns_input)
        if not learns_input and not weights:
            continue  # nothing to learn
        assert sample_flops(TASK, model, 8) == by_hand
        assert from_shapes(model, 8) == by_hand
        assert sample_flops(TASK, model.to("meta"), 8) == by_hand


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_above_each_other_and_both_ways(kind: type[nn.RNNBase]) -> None:
    layer = kind(
        24, 10, num_layers=2, bidirectional=True, batch_first=True, **({"proj_size": 4} if kind is nn.LSTM else {})
    )
    model = Layer(layer, tokens, learns_input=True).to("meta")
    assert from_shapes(model, 8) == sample_flops(TASK, model, 8)


# --- Whole nets ----------------------------------------------------------------------------------------------------

NETS = {"lenet5": 32, "cnn": 32, "mobilenet_v3_small": 64, "shufflenet_v2_x0_5": 64, "swin_t": 64}


@pytest.mark.parametrize(("name", "side_px"), NETS.items())
def test_a_net_costs_what_its_shapes_say(name: str, side_px: int) -> None:
    """All classifiers of torchvision and 58 nets of timm are in benchmarks/flops.py."""
    task = Classify(10)
    model = dry_run.take(models.params(name)(name=name), 10, [side_px], task)
    forward, backward = sample_flops(task, model, side_px)
    assert (forward, backward) == from_shapes(model, side_px, task)
    assert 1.6 < backward / forward <= 2


CONV1, CONV2, FC1 = 2 * 28 * 28 * 64 * 75, 2 * 10 * 10 * 64 * 64 * 25, 2 * 1600 * 384


@pytest.mark.parametrize(
    ("frozen", "saved"),
    [("conv1", CONV1 + CONV2), ("conv1 conv2", CONV1 + 2 * CONV2 + FC1), ("fc1", FC1)],
    ids=["first layer", "first two", "in the middle"],
)
def test_frozen_layers_cost_no_gradient_of_weights_and_a_frozen_beginning_none_at_all(frozen: str, saved: int) -> None:
    """Behind a frozen beginning the first layer that learns needs no gradient of its input."""
    model = dry_run.take(models.params("lenet5")(name="lenet5"), 5, [32], TASK)
    forward, plain = sample_flops(TASK, model, 32)
    for name in frozen.split():
        model.get_submodule(name).requires_grad_(False)
    assert sample_flops(TASK, model, 32) == (forward, plain - saved) == from_shapes(model, 32)
