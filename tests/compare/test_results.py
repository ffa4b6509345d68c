"""Results of a comparison: means, differences, costs and the variants to confirm."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fewer import tasks
from fewer.compare.arms import arms_of, epochs_of
from fewer.compare.grid import Cell
from fewer.compare.results import Criteria, Results, chosen, summarised
from fewer.compare.variants import Base, changes_of, variants_of
from fewer.compare.verdict import binomial_variance
from server import Ended
from small_comparison import EVIL, arm_of, results


def test_the_best_and_the_cheapest_that_passed_are_confirmed() -> None:
    def arm(name: str, top1: float, cost: float, holds: list[str]) -> dict[str, Any]:
        return {"name": name, "cost": cost, "holds": holds, "metrics": {"val/top1": {"mean": top1}}}

    arms = [arm("a", 0.9, 0.5, ["x"]), arm("b", 0.95, 0.8, ["x"]), arm("c", 0.99, 0.2, []), arm("d", 0.8, 0.4, ["x"])]
    assert chosen({"metric": "val/top1", "task": {}, "arms": arms}) == ["b", "d"]
    assert chosen({"metric": "val/top1", "task": {}, "arms": arms[2:3]}) == []


def test_the_best_by_loss_has_the_lowest() -> None:
    arms = [
        {"name": name, "cost": cost, "holds": ["x"], "metrics": {"val/loss": {"mean": loss}}}
        for name, loss, cost in (("worst", 0.9, 0.8), ("best", 0.2, 0.9), ("cheapest", 0.5, 0.3))
    ]
    assert chosen({"metric": "val/loss", "task": {}, "arms": arms}) == ["best", "cheapest"]


@pytest.mark.parametrize(
    ("task", "metric", "counted"),
    [
        ("classify", "val/top1", 72),
        ("classify", "val/macro_f1", 72),
        ("classify", "val/loss", 0),
        ("detect", "val/ap", 0),
        ("segment", "val/miou", 0),
        ("segment", "val/pixel_accuracy", 0),
    ],
)
def test_the_images_are_noise_of_shares_of_images_only(task: str, metric: str, counted: int) -> None:
    assert Criteria(metric, 0.5, range(3), 100.0, 72, tasks.description(task)).counted == counted


@pytest.mark.parametrize(
    ("metric", "expected"), [("val/top1", (-0.02, 0.03, 0.055, 0.08)), ("val/loss", (0.05, 0.10, 0.125, 0.15))]
)
def test_each_curve_is_read_at_its_own_cost_and_less_loss_is_better(
    recipe: Path, metric: str, expected: tuple[float, ...]
) -> None:
    """Plain training at 7.5 FEE: 85 %, loss 0.55; at 70 s: 82.5 %, 0.575. Random: 80 %, 0.6. The variant: 88, 0.45."""
    base = Base.read(recipe, ["select.method=random"])
    plain, variants = variants_of(base, changes_of(["select.share=0.6"], None))
    arms = arms_of(base, plain, variants, epochs_of("50%,100%", 2))
    reached = {  # top-1, loss, FEE, seconds
        "baseline": (0.9, 0.5, 10.0, 100.0),
        "variant": (0.88, 0.45, 7.5, 70.0),
        "plain": (0.8, 0.6, 5.0, 60.0),
        "random": (0.7, 0.7, 5.0, 50.0),
    }
    cells = []
    for arm in arms:
        top1, loss, fee, seconds = reached[arm.kind]
        ledger = {"effective_epochs": fee, "flops": 100 * fee, "optimizer_steps": 1, "seconds": {"total": seconds}}
        result = {"metrics": {"val/top1": top1, "val/loss": loss}, "ledger": ledger}
        cells += [Cell(arm, seed, Path("x"), "done", result) for seed in range(2)]
    told = summarised(Results(Criteria(metric, 0.5, range(2), 100.0, 1000), arms, cells))["arms"][1]
    asked = ("difference", "over_plain_at_equal_fee", "over_plain_at_equal_seconds", "over_random_at_equal_fee")
    assert [told[key]["mean"] for key in asked] == pytest.approx(expected)


def test_means_differences_and_costs_are_those_of_the_runs(summary: dict[str, Any], home: Path) -> None:
    def values(start: str, entry: Callable[[dict[str, Any]], float]) -> list[float]:
        """By seed, of the arm whose folder has this name and a hash."""
        pattern = re.compile(rf"{start}-[0-9a-f]{{10}}")
        return [entry(result) for path, result in results(home).items() if pattern.fullmatch(path.parent.name)]

    def top1(result: dict[str, Any]) -> float:
        value: float = result["metrics"]["val/top1"]
        return value

    plain, some, short = (values(name, top1) for name in ("plain", "some.*", "plain-1-epoch"))
    assert len(plain) == len(some) == len(short) == 2
    told = arm_of(summary, f"some {EVIL}")
    assert told["metrics"]["val/top1"]["mean"] == pytest.approx(sum(some) / 2)
    flops = values("some.*", lambda result: result["ledger"]["flops"])
    assert told["full_epoch_equivalents"]["mean"] == pytest.approx(sum(flops) / 2 / summary["plain_epoch_flops"])
    assert told["difference"]["mean"] == pytest.approx((sum(some) - sum(plain)) / 2)
    spread = abs((some[0] - plain[0]) - (some[1] - plain[1])) / 2  # the error of a mean of two
    images = summary["images"]
    variance = sum(binomial_variance(share, images) for share in (*some, *plain)) / 4  # of a mean of two differences
    half = max(6.313752 * spread, 1.644854 * math.sqrt(variance))
    assert images == 287
    assert told["difference"]["least"] == pytest.approx(told["difference"]["mean"] - half)
    costs = [flop / summary["plain_epoch_flops"] for flop in flops]
    over = [d - (s + (p - s) * (c - 1)) for d, p, s, c in zip(some, plain, short, costs, strict=True)]
    assert told["over_plain_at_equal_fee"]["mean"] == pytest.approx(sum(over) / 2)
    assert arm_of(summary, "plain")["full_epoch_equivalents"]["mean"] == pytest.approx(2.0)
    assert arm_of(summary, "plain, 1 epoch")["full_epoch_equivalents"]["mean"] == pytest.approx(1.0)
    assert arm_of(summary, "random, cost 0.5")["cost"] == pytest.approx(0.5, abs=0.01)


def test_a_variant_that_fails_is_told_and_kills_nothing(summary: dict[str, Any], compared: Ended) -> None:
    starving = arm_of(summary, "starving")
    assert [failed["seed"] for failed in starving["failed"]] == [0, 1]
    assert "keeps 0 of" in starving["failed"][0]["message"]
    assert starving["verdict"] == "failed: 2 of 2 runs"
    assert "starving: failed: 2 of 2 runs" in compared.stdout
