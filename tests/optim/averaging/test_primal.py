"""Schedule-Free and Generalized Primal Averaging: against their algorithms by hand, in runs, and out of checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fewer.core.errors import RecipeError
from fewer.optim.primal import PrimalAverage
from fewer.recipe.parse import parse_recipe
from fewer.testing.harness import interrupted, one_thread, trained

TARGET = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
SCALE = torch.tensor([[1.0, 0.1], [2.0, 0.5]], dtype=torch.float64)


def gradient(w: Tensor) -> Tensor:
    """Of a quadratic bowl."""
    return SCALE * (w - TARGET)


def schedule_free_sgd(rates: list[float], beta: float) -> Tensor:
    """Algorithm 1 of Defazio et al. 2024, with the weights of its section on warm-up."""
    x = z = torch.zeros(2, 2, dtype=torch.float64)
    total = 0.0
    for rate in rates:
        y = (1 - beta) * z + beta * x
        z = z - rate * gradient(y)
        total += rate**2
        c = rate**2 / total
        x = (1 - c) * x + c * z
    return x


def primal_averaging(rates: list[float], pull: float, keep: float) -> Tensor:
    """Generalized primal averaging over SGD."""
    x = z = torch.zeros(2, 2, dtype=torch.float64)
    for rate in rates:
        z = z - rate * gradient(pull * x + (1 - pull) * z)
        x = keep * x + (1 - keep) * z
    return x


def averaged(rates: list[float], build: Callable[[torch.nn.Module], PrimalAverage]) -> tuple[Tensor, Tensor]:
    """The average and the model's weight after SGD's steps on the bowl."""
    model = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    average, sgd = build(model), torch.optim.SGD(model.parameters(), 1.0)
    for at, rate in enumerate(rates):
        sgd.param_groups[0]["lr"] = rate
        model.weight.grad = gradient(model.weight.detach())
        sgd.step()
        average.update([model], 10, at + 1, at / len(rates))
    evaluated = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    average.load_into(evaluated)
    return evaluated.weight.detach(), model.weight.detach()


RATES = [0.1, 0.2, 0.3, *[0.4] * 20]


def test_schedule_free_is_its_papers_algorithm_with_a_warm_up() -> None:
    def build(model: torch.nn.Module) -> PrimalAverage:
        return PrimalAverage(model, 0.9, weigh=lambda progress: (RATES[round(progress * len(RATES))] / 0.4) ** 2)

    found, y = averaged(RATES, build)
    assert torch.allclose(found, schedule_free_sgd(RATES, 0.9), rtol=1e-12)
    assert not torch.allclose(found, y)


def test_gpa_is_its_papers_algorithm() -> None:
    found, _ = averaged(RATES, lambda model: PrimalAverage(model, 0.8, 0.95))
    assert torch.allclose(found, primal_averaging(RATES, 0.8, 0.95), rtol=1e-12)


def test_without_pull_the_model_trains_plainly() -> None:
    _, y = averaged(RATES, lambda model: PrimalAverage(model, 0.0, 0.95))
    plain = torch.zeros(2, 2, dtype=torch.float64)
    for rate in RATES:
        plain = plain - rate * gradient(plain)
    assert torch.allclose(y, plain, rtol=1e-12)


def test_what_is_frozen_stays_at_all_points() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    average, sgd = PrimalAverage(model, 0.5, 0.9), torch.optim.SGD(model.parameters(), 0.1)

    def step() -> None:
        sgd.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        sgd.step()
        average.update([model], 1, 1, 0.0)

    step()
    model[0].requires_grad_(False)
    before = [{name: value.clone() for name, value in points.items()} for points in (average.x, average.z)]
    body, head = model[0].weight.clone(), model[1].weight.clone()
    step()
    assert torch.equal(model[0].weight, body)
    assert not torch.equal(model[1].weight, head)
    for points, old in zip((average.x, average.z), before, strict=True):
        assert {name for name in points if torch.equal(points[name], old[name])} == {"0.weight", "0.bias"}


CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "90%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"epochs": 2, "batch_size": 32, "precision": "fp32", "lr": 0.01},
    "evaluate": {"batchnorm_images": 60},
}
OWN: list[dict[str, Any]] = [
    {"schedule_free": 0.9, "schedule": "constant", "momentum": 0.0, "nesterov": False},
    {"gpa": {"pull": 0.8, "keep": 0.9}},
]


@pytest.mark.parametrize("keys", OWN, ids=["schedule_free", "gpa"])
def test_a_run_that_was_stopped_ends_bit_for_bit_as_one_that_was_not(keys: dict[str, Any]) -> None:
    content = {**CONTENT, "train": {**CONTENT["train"], **keys}}
    with one_thread():
        whole, resumed = trained(content), interrupted(content, [3])
    (average,), (again,) = whole.run.averages.values(), resumed.run.averages.values()
    assert isinstance(average, PrimalAverage)
    assert isinstance(again, PrimalAverage)
    assert all(torch.equal(average.x[name], again.x[name]) for name in average.x)
    model = whole.run.workers[0].model
    y = {name: torch.lerp(average.z[name], average.x[name], average.pull) for name in average.x}
    assert all(torch.equal(p.detach(), y[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"schedule_free": 0.9}, 'takes the place of a schedule; set train.schedule = "constant"'),
        ({"schedule_free": 0.9, "schedule": "constant"}, r"takes the place of momentum; set train\.momentum = 0\.0"),
        (
            {"schedule_free": 0.9, "schedule": "constant", "optimizer": "adamw", "lr": 0.001},
            r"takes the place of the first beta; set train\.betas = \[0\.0, 0\.999\]",
        ),
        ({"gpa": {}, "ema": "1ep"}, "only one average can be evaluated"),
        ({"gpa": {}, "lookahead": {}}, "only one average can move the model"),
        ({"gpa": {"pull": 1.0}}, "less than 1"),
    ],
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": keys})


def test_what_is_frozen_is_published_as_the_rest_was_trained_on_it() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    average = PrimalAverage(model, 0.9, keep=0.9)
    with torch.no_grad():
        model[0].weight.add_(1)
    average.update([model], 10, 1, 0.0)
    model[0].requires_grad_(False)
    held, published = model[0].weight.clone(), copy.deepcopy(model)
    average.load_into(published)
    assert not torch.equal(average.x["0.weight"], held), "else this test could not fail"
    assert torch.equal(published[0].weight, held)
    assert torch.equal(published[1].weight, average.x["1.weight"])
