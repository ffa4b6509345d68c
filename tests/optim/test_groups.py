"""Groups of parameters, and an optimizer's state by parameter name."""

from __future__ import annotations

import pytest
import torch

from fewer import optim
from fewer.core.sections import section_of
from fewer.models.nets.cnn import Cnn
from fewer.optim.groups import grouped, load_optimizer_state, optimizer_state, parameter_groups, set_lr
from parameter_kinds import DECAY, SCALE


def sgd(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    return optim.build_optimizer(section_of(optim.TrainParams), parameter_groups(model, lr, DECAY, SCALE))


def test_parameters_fall_into_groups_by_what_they_are() -> None:
    groups = grouped(Cnn(10, width=0.1, whiten=True))
    assert list(groups["bias"]) == ["stem.bias"]
    assert all(name.endswith(".bias") and "norm" in name for name in groups["norm"])
    assert {name.rpartition(".")[2] for name in groups["weight"]} == {"weight"}
    assert not any("stem.weight" in group for group in groups.values()), "frozen for good"


def test_learning_rates_keep_their_ratio() -> None:
    optimizer = sgd(Cnn(10, width=0.1), 0.5)
    set_lr(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.1, 3.2])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0, 0.0]


def test_a_layer_may_have_a_rate_of_its_own_beside_that_of_its_kind() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 3))
    groups = parameter_groups(model, 0.1, DECAY, SCALE, {"1": 10.0})
    assert {tuple(group["names"]): group["base_lr"] for group in groups} == pytest.approx(
        {("0.weight",): 0.1, ("1.weight",): 1.0, ("0.bias",): 0.2, ("1.bias",): 2.0}
    )
    assert len(parameter_groups(model, 0.1, DECAY, SCALE, {"1": 1.0})) == 2, "equal rates stay together"


def test_momentum_comes_back_in_its_layout() -> None:
    """Row-major storage must not change a channels-last model's momentum, or norms would add in another order."""
    model = Cnn(10, width=0.25).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = sgd(model, 0.1)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    saved = {name: value.contiguous() for name, value in optimizer_state(optimizer).items()}
    load_optimizer_state(optimizer, saved)
    for name, value in optimizer_state(optimizer).items():
        assert torch.equal(value, saved[name])
    momentum = optimizer.state[model.block2.conv1.weight]["momentum_buffer"]
    assert momentum.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("counts_there", "device"), [({}, "cpu"), ({"fused": True}, "meta"), ({"capturable": True}, "meta")]
)
def test_state_comes_back_to_the_device_of_its_parameter(counts_there: dict[str, bool], device: str) -> None:
    """A checkpoint is read to the CPU; "meta" stands for a GPU."""
    parameter = torch.nn.Parameter(torch.empty(2, 3, device="meta"))
    optimizer = torch.optim.SGD([{"params": [parameter], "names": ["weight"]}])
    optimizer.param_groups[0].update({"fused": None, "capturable": False, **counts_there})
    saved = {"step": torch.tensor(7.0), "row_var": torch.ones(2, 1, dtype=torch.float64), "exp_avg": torch.ones(2, 3)}
    load_optimizer_state(optimizer, {f"weight/{entry}": value for entry, value in saved.items()})
    found = optimizer.state[parameter]
    assert {entry: value.device.type for entry, value in found.items()} == {
        "step": device,
        "row_var": "meta",
        "exp_avg": "meta",
    }
    assert {entry: value.dtype for entry, value in found.items()} == {
        entry: value.dtype for entry, value in saved.items()
    }


class _Tokens(torch.nn.Module):
    """What transformers hold beside matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, 5, 8))
        self.relative_position_bias_table = torch.nn.Parameter(torch.zeros(9, 2))
        self.layer_scale = torch.nn.Parameter(torch.ones(8, 1, 1))
        self.words = torch.nn.Embedding(4, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2)
        self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(8), torch.nn.GroupNorm(2, 8), torch.nn.RMSNorm(8)])
        self.slope = torch.nn.PReLU()
        self.head = torch.nn.Linear(8, 2)
        self.tied = torch.nn.Linear(8, 2)
        self.tied.weight = self.head.weight


def test_only_matrices_and_filters_of_a_transformer_are_decayed() -> None:
    groups = grouped(_Tokens())
    assert list(groups["weight"]) == ["attention.in_proj_weight", "attention.out_proj.weight", "head.weight"]
    assert list(groups["bias"]) == ["attention.in_proj_bias", "attention.out_proj.bias", "head.bias", "tied.bias"]
    assert all(name.startswith("norms.") for name in groups["norm"])
    rest = ["cls_token", "pos_embed", "relative_position_bias_table", "layer_scale", "words.weight", "slope.weight"]
    assert list(groups["embedding"]) == rest
    decays = [group["weight_decay"] for group in parameter_groups(_Tokens(), 0.1, DECAY, {})]
    assert decays == [0.1, 0.0, 0.0, 0.0]


def test_factors_of_a_layer_and_of_a_parameter_multiply() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    groups = parameter_groups(model, 0.1, {}, {}, {"1": 10.0}, {"0.weight": 0.5, "1.weight": 0.5})
    rates = {name: group["base_lr"] for group in groups for name in group["names"]}
    assert rates == pytest.approx({"0.weight": 0.05, "1.weight": 0.5, "0.bias": 0.1, "1.bias": 1.0})
