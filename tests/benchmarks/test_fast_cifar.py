"""The ladder of the CIFAR-10 example: its last rung is the example, and each rung changes what it says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import changed_keys
from paths import ROOT


@pytest.fixture(scope="module")
def ladder() -> dict[str, Any]:
    """The names that the benchmark defines; its main is not run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return runpy.run_path(str(ROOT / "benchmarks" / "fast_cifar.py"), run_name="fast_cifar")


def recipe(content: dict[str, Any]) -> Any:
    return parse_recipe({**content, "data": {**content["data"], "source": "digits"}})


def test_the_last_rung_is_the_example(ladder: dict[str, Any]) -> None:
    last = recipe(ladder["content_of"](list(ladder["RUNGS"])[-1]))
    assert last == ladder["EXAMPLE"]["recipe_of"]("data.source=digits")
    assert len(ROOT.joinpath("examples", "fast_cifar.py").read_text().splitlines()) <= 150


def test_each_rung_changes_its_own_keys(ladder: dict[str, Any]) -> None:
    names = list(ladder["RUNGS"])
    recipes = [recipe(ladder["content_of"](name)) for name in names]
    for name, before, after in zip(names[1:], recipes, recipes[1:], strict=False):
        changed = {key.partition("stages.")[1] or key for key, *_ in changed_keys(before, after)}
        assert {key.strip(".") for key in changed} - {"train.epochs"} == set(ladder["RUNGS"][name]) - {"train.epochs"}


def test_muons_arithmetic_is_what_the_plan_counts(ladder: dict[str, Any], tmp_path: Path) -> None:
    """The example counts it by itself, with public names alone."""
    from fewer.optim import step_flops
    from fewer.session.build import build_model, make_plan, open_data

    keys = {"data.source": "digits", "data.subset": 64, "model.width": 0.1, "train.batch_size": 32, "stages": None}
    content = ladder["changed"](ladder["content_of"]("24 px first"), {**keys, "train.epochs": 1})
    asked = parse_recipe(content)
    plan = make_plan(asked, open_data(asked))
    result = ladder["EXAMPLE"]["trained"](asked, tmp_path / "run")
    cost = ladder["EXAMPLE"]["costs"](result, tmp_path / "run", 2.0, 10)
    step = step_flops(asked.train, build_model(plan), {"stem", "head"})
    assert cost["newton_schulz"] * 1e15 == pytest.approx(result["steps"] * step)
    assert cost["tta"] * 1e15 == pytest.approx(20 * plan.sample_flops(0).forward)
    assert cost["pflop"] == pytest.approx(result["ledger"]["flops"] / 1e15 + cost["tta"])


def test_what_was_not_run_is_shown_as_not_run(ladder: dict[str, Any]) -> None:
    lines = [
        {"rung": "SiLU", "small": False, "top1_one": 0.5, "top1_six": 0.6, "top1_unsure": 0.55, "pflop": each}
        for each in (0.2, 0.3)
    ]
    table = ladder["table"](lines, small=False).splitlines()
    assert "| SiLU | 50.00% | 60.00% | 55.00% | 0.2500 | 2 |" in table
    assert "| jitter | not run | not run | not run | not run | - |" in table
