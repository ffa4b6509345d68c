"""Optimizer groups and weight averages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer import optim
from fewer.core.errors import RecipeError
from fewer.core.sections import section_of
from fewer.core.types import Batch
from fewer.models.nets.cnn import Cnn
from fewer.optim.averaging.ema import Ema
from fewer.optim.averaging.lookahead import Lookahead
from fewer.optim.groups import grouped, load_optimizer_state, optimizer_state, parameter_groups, set_lr
from fewer.optim.methods import OPTIMIZERS
from fewer.recipe.parse import parse_recipe
from fewer.testing import laws
from fewer.testing.harness import one_thread, session_of
from fewer.training.loop import train

DECAY = {"weight": 0.1, "bias": 0.0, "norm": 0.0}
SCALE = {"weight": 1.0, "bias": 2.0, "norm": 64.0}


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


def test_the_averages_half_life_is_counted_in_samples() -> None:
    """Four steps on 25 samples forget as much as one on 100; after a half-life an old weight counts half."""
    start, target = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    small, large, half = Ema(start, 80.0), Ema(start, 80.0), Ema(start, 80.0)
    for _ in range(4):
        small.update([target], 25, 1, 0.0)
    large.update([target], 100, 1, 0.0)
    half.update([target], 80, 1, 0.0)
    for name, value in target.state_dict().items():
        assert torch.allclose(small.average[name], large.average[name])
        assert torch.allclose(half.average[name], (start.state_dict()[name] + value) / 2)


def test_lookahead_pulls_as_airbench_does() -> None:
    """rho = decay^every * progress^power; slow += (1 - rho)(fast - slow); fast = slow."""
    model = torch.nn.Linear(1, 1, bias=False)
    ahead = Lookahead(every_steps=5, decay=0.95, power=3.0, start=0.3)
    torch.nn.init.constant_(model.weight, 1.0)
    ahead.update([model], 1, 5, 0.2)
    assert not ahead.slow, "not before its start"
    ahead.update([model], 1, 10, 0.5)
    torch.nn.init.constant_(model.weight, 3.0)
    ahead.update([model], 1, 12, 0.5)
    assert model.weight.item() == 3.0, "not between pulls"
    ahead.update([model], 1, 15, 0.8)
    rho = 0.95**5 * 0.8**3
    assert model.weight.item() == pytest.approx(3.0 + rho * (1.0 - 3.0))
    torch.nn.init.constant_(model.weight, 9.0)
    ahead.end_epoch([model])
    assert model.weight.item() == pytest.approx(3.0 + rho * (1.0 - 3.0))


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


def test_every_optimizer_is_a_choice_of_the_recipe() -> None:
    model = torch.nn.Linear(3, 1)
    for name in OPTIMIZERS.names():
        train = parse_recipe(
            {"data": {"source": "digits"}, "model": {"name": "lenet5"}}, [f"train.optimizer={name}", "train.lr=0.1"]
        ).train
        assert isinstance(train, OPTIMIZERS.params(name))
        built = optim.build_optimizer(train, parameter_groups(model, train.lr, DECAY, SCALE))
        assert type(built).__name__.lower() == name


def test_adamws_counter_of_steps_comes_back_as_it_was() -> None:
    model = torch.nn.Linear(3, 1)
    groups = parameter_groups(model, 0.1, DECAY, {})
    optimizer = optim.build_optimizer(section_of(optim.TrainParams, optimizer="adamw", betas=[0.9, 0.99]), groups)
    for _ in range(3):
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    saved = optimizer_state(optimizer)
    load_optimizer_state(optimizer, {name: value.clone() for name, value in saved.items()})
    again = optimizer_state(optimizer)
    assert again["weight/step"] == 3
    assert again["weight/step"].shape == ()
    assert all(torch.equal(again[name], value) for name, value in saved.items())


ADAMW: dict[str, Any] = {
    "data": {"source": "digits", "test": "90%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {
        "epochs": 2,
        "batch_size": 40,
        "optimizer": "adamw",
        "lr": 0.004,
        "weight_decay": 0.1,
        "betas": [0.8, 0.95],
        "schedule": "one_cycle",
        "precision": "fp64",
        "channels_last": "no",
    },
}


def test_the_loop_with_adamw_does_what_a_loop_by_hand_does() -> None:
    """torch.optim.AdamW, its groups written out by hand, on the same batches, rates and betas."""
    with one_thread():
        session, twin = session_of(ADAMW), session_of(ADAMW)
        seen: list[Batch] = []
        batches = session.train_data.batches
        session.train_data.batches = lambda requests: _kept(batches(requests), seen)  # type: ignore[method-assign]
        rows = list(train(session.task, session.train_data, session.run))
        model = twin.run.workers[0].model
        decayed = [p for name, p in model.named_parameters() if name.endswith("weight")]
        free = [p for name, p in model.named_parameters() if not name.endswith("weight")]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}]
        adamw = torch.optim.AdamW(groups, lr=0.004, eps=1e-8)
        losses = []
        for row, batch in zip(rows, seen, strict=True):
            for group in adamw.param_groups:
                group["lr"], group["betas"] = row.lr, (row.momentum, 0.95)
            loss = torch.nn.functional.cross_entropy(model(batch.inputs), batch.targets)
            adamw.zero_grad()
            loss.backward()
            adamw.step()
            losses.append(float(loss.detach()))
    assert [row.loss for row in rows] == pytest.approx(losses, rel=1e-10)
    assert {row.momentum for row in rows} >= {0.95}
    assert min(row.momentum for row in rows) < 0.87
    for ours, theirs in zip(session.run.workers[0].model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def _kept(batches: Iterator[Batch], seen: list[Batch]) -> Iterator[Batch]:
    for batch in batches:
        seen.append(batch)
        yield batch


def test_adamw_on_two_ranks_equals_one_process() -> None:
    with one_thread():
        train_keys = {**ADAMW["train"], "accumulate": 2}
        laws.ranks_agree({**ADAMW, "train": train_keys, "select": {"method": "full"}})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"optimizer": "adamw", "lr": 0.001, "momentum": 0.9},
            'unknown key "train.momentum"; it belongs to train.optimizer = "sgd"; "adamw" has betas, eps',
        ),
        (
            {"betas": [0.9, 0.99]},
            'unknown key "train.betas"; it belongs to train.optimizer = "adamw"; "sgd" has momentum, nest',
        ),
        ({"optimizer": "adamw"}, "train.lr is missing"),
        ({"schedule": "one_cycle", "warmup": "10%"}, "cycle_peak"),
        ({"schedule": "one_cycle", "momentum": 0.8}, 'set that to "off"'),
        ({"schedule": "one_cycle", "cycle_momentum": [0.9, 0.8]}, "lower one comes first"),
        ({"step_gamma": 0.5}, 'belongs to train.schedule = "step"'),
        ({"schedule": "step", "step_every": "0%"}, "more than nothing"),
        ({"schedule": "step", "step_at": ["50%"], "step_every": "20%"}, "beside train.step_at"),
        ({"schedule": "step", "step_at": ["400ep"]}, "longer than the run"),
        ({"optimizer": "adamv"}, 'unknown train.optimizer "adamv"; did you mean "adamw"'),
        ({"schedule": 3}, 'unknown train.schedule "3"; allowed: constant, cosine'),
    ],
)
def test_keys_of_other_parts_are_unknown(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": keys})
