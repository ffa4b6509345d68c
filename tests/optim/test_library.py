"""Optimizers of torch and timm by name: what they do, what is refused and why, and checkpoints by names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer import optim
from fewer.core.errors import RecipeError
from fewer.core.sections import section_of
from fewer.optim.groups import load_optimizer_state, optimizer_state, parameter_groups
from fewer.optim.library import LibraryOptimizer, names
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import TrainRecipe
from fewer.testing.harness import session_of, trained
from rule_steps import backward, net


def parsed(name: str, **args: Any) -> TrainRecipe:
    train = {"optimizer": name, "lr": 0.01, **({"optimizer_args": args} if args else {})}
    return parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train}).train


@pytest.mark.parametrize(("name", "type_name"), [("torch:RMSprop", "RMSprop"), ("timm:lion", "Lion")])
def test_a_recipe_builds_the_librarys_own_class_with_its_arguments(name: str, type_name: str) -> None:
    args: dict[str, Any] = {"momentum": 0.5} if name == "torch:RMSprop" else {"betas": [0.8, 0.9]}
    train = parsed(name, **args)
    built = optim.build_optimizer(train, parameter_groups(net(), 0.01, {}, {}))
    assert type(built).__name__ == type_name
    assert all(built.param_groups[0][key] == (tuple(v) if isinstance(v, list) else v) for key, v in args.items())
    again = parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train.model_dump()})
    assert again.train == train


def test_one_of_torch_steps_as_torchs_own() -> None:
    ours, theirs = net(), net()
    train = section_of(optim.TrainParams, optimizer="torch:NAdam", optimizer_args={"betas": [0.8, 0.9]})
    one = optim.build_optimizer(train, parameter_groups(ours, 0.01, {}, {}))
    other = torch.optim.NAdam(theirs.parameters(), 0.01, betas=(0.8, 0.9))
    for model, optimizer in ((ours, one), (theirs, other)):
        for _ in range(3):
            backward(model)
            optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("torch:RMSProp", {}, 'unknown train.optimizer "torch:RMSProp"; did you mean "torch:RMSprop"'),
        ("timm:lions", {}, 'unknown train.optimizer "timm:lions"; did you mean "timm:lion"'),
        ("os:system", {}, 'before the colon, "torch" and "timm" are allowed'),
        ("torch:optimizer.Adam", {}, "unknown train.optimizer"),
        ("torch:Adam", {"beta": 0.9}, '"Adam" takes no "beta"; did you mean "betas"'),
        ("torch:Adam", {"lr": 0.9}, '"lr" is given by train.lr; leave it out here'),
        ("torch:Adam", {"betas": [0.9, 1.5]}, 'torch refuses "Adam" with betas = .*Invalid beta'),
        ("torch:Adam", {"betas": {"a": 1}}, "train.optimizer_args"),
        ("torch:LBFGS", {}, 'torch refuses "LBFGS": LBFGS doesn\'t support per-parameter options'),
        ("timm:fusedadam", {}, 'timm refuses "fusedadam": '),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(name: str, args: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parsed(name, **args)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_keeps_state_elsewhere_is_refused(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As timm's kron does, which misses what its first step has made; or it steps on otherwise, and says nothing."""

    class Elsewhere(torch.optim.SGD):
        def step(self, *_: Any) -> None:
            made = self.__dict__.setdefault("made", dict[str, float]())
            if self.state and not made and at_once:
                raise KeyError("Q")
            made["lr"] = self.param_groups[0]["lr"] = 0.5 * made.get("lr", 0.1)
            super().step()

    monkeypatch.setattr(LibraryOptimizer, "made", lambda self, groups, given: Elsewhere(groups, 0.1, momentum=0.9))
    with pytest.raises(RecipeError, match='"Adam" keeps state that a checkpoint by names does not hold; use another'):
        parsed("torch:Adam")


def test_a_cycled_momentum_needs_one() -> None:
    train = {"optimizer": "torch:Adagrad", "lr": 0.01, "schedule": "one_cycle"}
    content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train}
    with pytest.raises(RecipeError, match='has no effect with "torch:Adagrad", which has no momentum; set it to "off"'):
        parse_recipe(content)
    assert parse_recipe({**content, "train": {**train, "cycle_momentum": "off"}})


@pytest.mark.parametrize("name", ["timm:lamb", "timm:adabelief", "timm:laprop", "torch:Rprop", "timm:nadamlegacy"])
def test_counters_and_numbers_of_a_library_go_through_a_checkpoint(name: str) -> None:
    def begun() -> tuple[Any, torch.optim.Optimizer]:
        model = net()
        return model, LibraryOptimizer(name).made(parameter_groups(model, 0.01, {"weight": 0.1}, {}), {})

    (model, optimizer), (other, twin) = begun(), begun()
    for _ in range(3):
        backward(model)
        optimizer.step()
    other.load_state_dict(model.state_dict())
    load_optimizer_state(twin, {key: value.clone() for key, value in optimizer_state(optimizer).items()})
    for one, stepping in ((model, optimizer), (other, twin)):
        backward(one)
        stepping.step()
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


def test_torchs_list_holds_its_optimizers_and_nothing_else() -> None:
    found = names("torch")
    assert {"Adam", "AdamW", "SGD", "RMSprop", "Rprop"} <= set(found)
    assert not {"Optimizer", "lr_scheduler", "swa_utils"} & set(found)
    assert names("sys") == []


@pytest.mark.parametrize("name", ["torch:RAdam", "timm:adopt"])
def test_a_run_is_planned_and_trained(name: str) -> None:
    pytest.importorskip("timm")
    train = {"optimizer": name, "optimizer_args": {"betas": [0.8, 0.9]}, "lr": 0.01, "batch_size": 30}
    content = {
        "data": {"source": "digits", "test": "95%", "val": "none"},
        "model": {"name": "lenet5", "width": 0.1},
        "train": train,
        "stages": [{"epochs": 1, "side_px": 16}],
    }
    plans = [
        session_of({**content, "train": {**train, "optimizer_args": {"betas": [0.8, b]}}}).plan for b in (0.9, 0.95)
    ]
    assert plans[0].predicted == plans[1].predicted
    assert trained(content).run.cursor.step == 3


@pytest.mark.parametrize(("name", "args"), [("torch:AdamW", {}), ("timm:sgd", {}), ("torch:SGD", {"momentum": 0.9})])
def test_schedule_free_takes_no_second_momentum(name: str, args: dict[str, Any]) -> None:
    train = {"optimizer": name, "lr": 0.01, "optimizer_args": args, "schedule": "constant", "schedule_free": 0.9}
    content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}
    with pytest.raises(RecipeError, match="takes the place of momentum"):
        parse_recipe({**content, "train": train})
    free: dict[str, dict[str, Any]] = {
        "timm:sgd": {"momentum": 0.0, "nesterov": False},
        "torch:AdamW": {"betas": [0.0, 0.99]},
    }
    assert parse_recipe({**content, "train": {**train, "optimizer_args": free.get(name, {})}}).train
