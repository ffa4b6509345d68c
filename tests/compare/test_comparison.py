"""Comparing: what may be said of a variant, which runs are trained, and what bad questions get."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import fewer
from fewer.compare.arms import Arm, arms_of, epochs_of, split
from fewer.compare.comparison_page import comparison_page
from fewer.compare.grid import Cell, complete, read_cell
from fewer.compare.results import Criteria, Results, chosen, summarised
from fewer.compare.variants import Base, changes_of, split_values, variants_of
from fewer.compare.verdict import Evidence, Sample, at_cost, judge, over_curve, paired, whole_curves
from fewer.core.errors import FewerError, RecipeError, ResourceError
from server import Ended, Server, complains

RECIPE = """[data]
source = "digits"
subset = 300
val = "20%"
cache = "no"

[model]
name = "lenet5"
width = 0.2

[train]
epochs = 2
batch_size = 64
lr = 0.05
"""
EVIL = "<script>alert(1)</script>"
VARIANTS = f"""
[variants."some {EVIL}"]
select.method = "random"
select.share = 0.7

[variants.starving]
select = {{ method = "dbpd", threshold = 1e-6, guards = "off" }}
"""
ASKED = ("compare", "recipe.toml", "--variants", "variants.toml", "--seeds", "2", "--budgets", "1,100%", "--out", "cmp")
LEAN = ("select.method=random", "--vary", "select.share=0.5", "--seeds", "2", "--no-curve")


# --- Statistics ------------------------------------------------------------------------------------------------------


def test_a_sample_is_the_tables_of_students_t() -> None:
    sample = Sample.of([0.004, 0.006, 0.002, 0.004])  # deviation sqrt(8e-6 / 3), error half of that
    error = math.sqrt(8e-6 / 3) / 2
    assert sample is not None
    assert sample.mean == pytest.approx(0.004)
    assert sample.high == pytest.approx(0.004 + 3.182446 * error, rel=1e-6)
    assert sample.least == pytest.approx(0.004 - 2.353363 * error, rel=1e-6)
    assert sample.most == pytest.approx(0.004 + 2.353363 * error, rel=1e-6)


def test_one_value_has_no_interval_and_decides_nothing() -> None:
    sample = Sample.of([0.1])
    assert sample is not None
    assert (sample.low, sample.high) == (None, None)
    assert not sample.above(-1.0)
    assert not sample.below(1.0)
    assert sample.seeds_needed(0.0) is None
    assert Sample.of([]) is None


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8), st.sampled_from([-0.01, 0.0, 0.005]))
def test_the_bounds_decide_as_scipys_one_sided_paired_test(thousandths: list[int], limit: float) -> None:
    values = [value / 1000 for value in thousandths]
    if len(set(values)) < 2:
        return
    sample = Sample.of(values)
    assert sample is not None
    for decides, alternative in ((sample.above, "greater"), (sample.below, "less")):
        p = stats.ttest_1samp(values, limit, alternative=alternative).pvalue
        if abs(p - 0.05) > 1e-9:
            assert decides(limit) == (p < 0.05)


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 27), (1.0, 8), (2.0, 4)])
def test_seeds_needed_are_those_of_the_power_tables(effect: float, seeds: int) -> None:
    """One-sided, 5 %, power 80 %: 27, 8 and 4 by the noncentral t."""
    sample = Sample.of([effect - math.sqrt(0.5), effect + math.sqrt(0.5)])  # deviation 1
    assert sample is not None
    assert sample.seeds_needed(0.0) == seeds
    assert sample.seeds_needed(effect) is None  # on the limit itself no number would do


def test_the_curve_is_linear_between_budgets_and_nothing_beyond_them() -> None:
    points = [(6.0, 0.9), (3.0, 0.8), (12.0, 0.96)]
    assert at_cost(points, 3.0) == 0.8
    assert at_cost(points, 4.5) == pytest.approx(0.85)
    assert at_cost(points, 9.0) == pytest.approx(0.93)
    assert at_cost(points, 12.1) == 0.96  # within 1 % of the end
    assert at_cost(points, 12.2) is None
    assert at_cost(points, 2.9) is None
    assert at_cost(points[:1], 6.0) is None


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=2, max_size=6, unique_by=lambda p: p[0]))
def test_between_budgets_it_is_numpys_interpolation(points: list[tuple[int, float]]) -> None:
    x, y = zip(*sorted(points), strict=True)
    for cost in np.linspace(x[0], x[-1], 17):
        assert at_cost(points, float(cost)) == pytest.approx(np.interp(cost, x, y))


def test_only_seeds_that_both_have_are_paired() -> None:
    values, others = {0: 0.5, 1: 0.7, 3: 0.9}, {0: 0.4, 2: 0.0, 3: 0.7}
    for sign in (1, -1):
        sample = paired(values, others, sign)
        assert sample is not None
        assert sample.values == pytest.approx((sign * 0.1, sign * 0.2))


def test_a_seed_that_lacks_a_budget_has_no_curve() -> None:
    """A line over the gap would lie below what plain training reaches: 0.85 in place of 0.88 at a cost of 5."""
    budgets = [{0: (2.5, 0.80), 1: (2.5, 0.81)}, {1: (5.0, 0.88)}, {0: (10.0, 0.91), 1: (10.0, 0.92)}]
    assert whole_curves(budgets) == {1: [(2.5, 0.81), (5.0, 0.88), (10.0, 0.92)]}
    assert set(whole_curves([*budgets, {}])) == {1}, "a budget of which nothing is there yet is none"
    assert whole_curves(budgets[:1]) == {}


def test_seeds_are_not_left_out_for_what_they_cost() -> None:
    curves = {seed: [(2.5, 0.8), (10.0, 0.9)] for seed in range(3)}
    values = {0: 0.91, 1: 0.92, 2: 0.93}
    near = over_curve(values, {0: 10.0, 1: 10.05, 2: 10.1}, curves)
    assert near is not None
    assert near.values == pytest.approx((0.01, 0.02, 0.03))
    assert over_curve(values, {0: 10.0, 1: 10.05, 2: 10.4}, curves) is None
    fewer_curves = over_curve(values, {0: 10.0, 1: 10.0, 2: 10.4}, {0: curves[0], 1: curves[1]})
    assert fewer_curves is not None
    assert len(fewer_curves.values) == 2


def evidence(cost: float, over_plain: list[float], over_curve: list[float] | None = None, failed: int = 0) -> Evidence:
    equal = None if over_curve is None else Sample.of(over_curve)
    return Evidence(cost, Sample.of(over_plain), equal, failed, len(over_plain) + failed, margin=0.005)


SAME, WORSE, BETTER = [-0.001, 0.001, 0.0], [-0.021, -0.019, -0.02], [0.021, 0.019, 0.02]
UNCLEAR = [-0.05, 0.05, 0.0]


@pytest.mark.parametrize(
    ("found", "text", "holds"),
    [
        (evidence(0.61, SAME), "non-inferior at 0.61 of the cost", {"non-inferior"}),
        (
            evidence(0.61, SAME, BETTER),
            "non-inferior at 0.61 of the cost and beats plain at equal cost",
            {"non-inferior", "beats plain"},
        ),
        (evidence(0.61, SAME, UNCLEAR), "non-inferior at 0.61 of the cost", {"non-inferior"}),
        (
            evidence(0.61, SAME, WORSE),
            "non-inferior at 0.61 of the cost, but plain training, shortened to that cost, is better",
            {"non-inferior"},
        ),
        (evidence(0.3, WORSE, BETTER), "beats plain at equal cost", {"beats plain"}),
        (evidence(0.3, UNCLEAR, BETTER), "beats plain at equal cost", {"beats plain"}),
        (evidence(1.2, SAME), "no saving: 1.20 of the cost", set()),
        (evidence(0.997, SAME), "no saving: 1.00 of the cost", set()),
        (evidence(1.2, BETTER), "no saving: 1.20 of the cost", set()),
        (evidence(0.6, WORSE), "no saving: worse than plain by more than 0.5 points", set()),
        (evidence(0.6, UNCLEAR, WORSE), "no saving: plain training, shortened to that cost, is better", set()),
        (evidence(0.6, SAME, BETTER, failed=1), "failed: 1 of 4 runs", set()),
        (evidence(0.6, [0.1]), "undecided: n too small", set()),
    ],
)
def test_verdicts(found: Evidence, text: str, holds: set[str]) -> None:
    verdict = judge(found)
    assert verdict.text == text
    assert set(verdict.holds) == holds


def test_undecided_says_how_many_seeds_would_decide() -> None:
    """By whichever criteria is nearer to an answer."""
    over_plain = [-0.004, 0.006, 0.001]  # 0.006 above the limit, deviation 0.005
    verdict = judge(evidence(0.6, over_plain, UNCLEAR))
    assert verdict.text == "undecided: n too small (about 6 seeds would decide)"
    assert verdict.seeds_needed == 6
    nearer = judge(evidence(0.6, over_plain, [0.0, 0.01, 0.011]))  # 0.007 above 0, deviation 0.006083
    assert nearer.seeds_needed == 6
    assert judge(evidence(0.6, UNCLEAR, over_plain)).seeds_needed == 156
    lost = judge(evidence(0.6, [-0.5, 0.5, -0.015], UNCLEAR))
    assert lost.text == "undecided: n too small (too close to the margin for 200 seeds)"


def test_the_best_and_the_cheapest_that_passed_are_confirmed() -> None:
    def arm(name: str, top1: float, cost: float, holds: list[str]) -> dict[str, Any]:
        return {"name": name, "cost": cost, "holds": holds, "metrics": {"val/top1": {"mean": top1}}}

    arms = [arm("a", 0.9, 0.5, ["x"]), arm("b", 0.95, 0.8, ["x"]), arm("c", 0.99, 0.2, []), arm("d", 0.8, 0.4, ["x"])]
    assert chosen({"metric": "val/top1", "arms": arms}) == ["b", "d"]
    assert chosen({"metric": "val/top1", "arms": arms[2:3]}) == []


# --- What is asked ---------------------------------------------------------------------------------------------------


def test_values_are_cut_at_commas_outside_of_brackets_and_quotes() -> None:
    assert list(split_values("0.3, 0.5")) == ["0.3", "0.5"]
    assert list(split_values('[0.1,1.0],{a=[1,2]},"x,y"')) == ["[0.1,1.0]", "{a=[1,2]}", '"x,y"']


def test_budgets_are_shares_or_epochs() -> None:
    assert epochs_of("25%,50%,75%,100%", 12) == [3, 6, 9, 12]
    assert epochs_of("25%,50%,75%,100%", 3) == [1, 2, 3]
    assert epochs_of("10, 5ep,150%", 20) == [5, 10, 30]
    for bad in ("", "0", "half", "2.5ep", "-3"):
        with pytest.raises(RecipeError, match="no budget"):
            epochs_of(bad, 12)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 300))
def test_stages_are_shortened_in_proportion(parts: list[int], total: int) -> None:
    lengths = split(parts, total)
    assert sum(lengths) == total
    assert all(abs(length - part * total / sum(parts)) < 1 for part, length in zip(parts, lengths, strict=True))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_axes_make_a_grid_and_a_file_is_one_axis_more(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[variants.mine]\nselect.method = "dbpd"\n')
    changes = changes_of(["select.threshold=0.3,0.5", "train.lr=0.1"], file)
    _, variants = variants_of(Base.read(recipe), changes)
    assert [variant.name for variant in variants] == ["mine, threshold=0.3, lr=0.1", "mine, threshold=0.5, lr=0.1"]
    assert dict(variants[1].changes) == {"select.method": "dbpd", "select.threshold": 0.5, "train.lr": 0.1}
    assert variants[1].recipe.train.lr == 0.1


def test_a_method_takes_the_shared_keys_that_it_has(recipe: Path) -> None:
    """`select.threshold` is dbpd's; random goes without, and says so."""
    base = Base.read(recipe, ["select.threshold=0.4", "select.revision=1ep"])
    plain, variants = variants_of(base, changes_of(["select.method=dbpd,random"], None))
    dbpd, random = (variant.recipe.select.model_dump(mode="json") for variant in variants)
    assert (dbpd["threshold"], dbpd["revision"], random["revision"]) == (0.4, "1ep", "1ep")
    assert [variant.left_out for variant in variants] == [(), ("select.threshold",)]
    assert plain.recipe.select.model_dump(mode="json") == {"method": "everything", "revision": "0ep"}


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
    told = summarised(Results(Criteria(metric, 0.5, range(2), 100.0), arms, cells))["arms"][1]
    asked = ("difference", "over_plain_at_equal_fee", "over_plain_at_equal_seconds", "over_random_at_equal_fee")
    assert [told[key]["mean"] for key in asked] == pytest.approx(expected)


def test_a_recipe_by_itself_is_compared_with_plain_training(recipe: Path) -> None:
    plain, (variant,) = variants_of(Base.read(recipe, ["select.method=infobatch"]), [])
    assert variant.name == "infobatch"
    assert plain.name == "plain"


# --- A small comparison ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "variants.toml").write_text(VARIANTS)
    return folder


@pytest.fixture(scope="module")
def compared(server: Server, home: Path) -> Ended:
    """Two seeds of plain training, two budgets, `random` and a variant that keeps nothing: ten runs in `cmp`."""
    ended = server.run(*ASKED, cwd=home)
    assert ended.code == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def summary(compared: Ended, home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "cmp" / "compare.json").read_text())
    return found


def arm(summary: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (arm for arm in summary["arms"] if arm["name"] == name)
    return found


def results(home: Path) -> dict[Path, dict[str, Any]]:
    return {
        path.parent: json.loads(path.read_text()) for path in sorted((home / "cmp" / "runs").glob("*/*/result.json"))
    }


def test_all_arms_are_trained_with_the_same_seeds(summary: dict[str, Any], home: Path) -> None:
    names = ["plain", f"some {EVIL}", "starving", "plain, 1 epoch", "random, cost 0.5"]
    assert [arm["name"] for arm in summary["arms"]] == names
    assert [arm["kind"] for arm in summary["arms"]] == ["baseline", "variant", "variant", "plain", "random"]
    assert summary["metric"] == "val/top1"
    done = results(home)
    assert len(done) == 8
    assert sorted({result["seed"] for result in done.values()}) == [0, 1]
    for path in done:
        assert {"recipe.resolved.toml", "rows.jsonl", "plan.json", "status.json"} <= {p.name for p in path.iterdir()}


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
    told = arm(summary, f"some {EVIL}")
    assert told["metrics"]["val/top1"]["mean"] == pytest.approx(sum(some) / 2)
    flops = values("some.*", lambda result: result["ledger"]["flops"])
    assert told["full_epoch_equivalents"]["mean"] == pytest.approx(sum(flops) / 2 / summary["plain_epoch_flops"])
    assert told["difference"]["mean"] == pytest.approx((sum(some) - sum(plain)) / 2)
    spread = abs((some[0] - plain[0]) - (some[1] - plain[1])) / 2  # the error of a mean of two
    assert told["difference"]["least"] == pytest.approx(told["difference"]["mean"] - 6.313752 * spread)
    costs = [flop / summary["plain_epoch_flops"] for flop in flops]
    over = [d - (s + (p - s) * (c - 1)) for d, p, s, c in zip(some, plain, short, costs, strict=True)]
    assert told["over_plain_at_equal_fee"]["mean"] == pytest.approx(sum(over) / 2)
    assert arm(summary, "plain")["full_epoch_equivalents"]["mean"] == pytest.approx(2.0)
    assert arm(summary, "plain, 1 epoch")["full_epoch_equivalents"]["mean"] == pytest.approx(1.0)
    assert arm(summary, "random, cost 0.5")["cost"] == pytest.approx(0.5, abs=0.01)


def test_a_variant_that_fails_is_told_and_kills_nothing(summary: dict[str, Any], compared: Ended) -> None:
    starving = arm(summary, "starving")
    assert [failed["seed"] for failed in starving["failed"]] == [0, 1]
    assert "keeps 0 of" in starving["failed"][0]["message"]
    assert starving["verdict"] == "failed: 2 of 2 runs"
    assert "starving: failed: 2 of 2 runs" in compared.stdout


def test_a_line_a_run_in_the_csv(compared: Ended, home: Path) -> None:
    with (home / "cmp" / "runs.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 10
    assert sorted({line["status"] for line in lines}) == ["done", "failed"]
    done = results(home)
    for line in lines:
        if line["status"] == "done":
            assert float(line["test/top1"]) == done[home / "cmp" / line["folder"]]["metrics"]["test/top1"]
        else:
            assert "keeps 0 of" in line["message"]


class Page(HTMLParser):
    """The tags of a page, and whatever it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href", "srcset")]


def test_the_page_is_self_contained_and_escaped(compared: Ended, home: Path) -> None:
    text = (home / "cmp" / "compare.html").read_text()
    found = Page(text)
    assert "script" not in found.tags
    assert found.tags.count("html") == 1
    assert all(link.startswith("#") for link in found.links)
    assert "&lt;script&gt;alert(1)" in text
    assert text.count('<svg class="plot"') == 2
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for word in ("Verdicts", "FEE (full-epoch equivalents)", "seconds", "failed: 2 of 2 runs"):
        assert word in text


def test_the_page_is_a_function_of_the_document(summary: dict[str, Any], home: Path) -> None:
    assert comparison_page(summary) == (home / "cmp" / "compare.html").read_text()
    evil = {**summary, "recipe": EVIL, "metric": f"val/{EVIL}"}
    assert "<script" not in comparison_page(evil)


def test_asked_again_nothing_is_trained(server: Server, compared: Ended, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "cmp" / "runs").rglob("*")}
    again = server.run(*ASKED, "--json", cwd=home)
    assert again.code == 0, again.stderr
    assert again.json == json.loads((home / "cmp" / "compare.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in (home / "cmp" / "runs").rglob("*")} == before


def test_killed_in_the_middle_it_resumes_the_begun_run_and_trains_missing_ones_only(
    server: Server, home: Path, tmp_path: Path
) -> None:
    shutil.copy(home / "recipe.toml", tmp_path)
    asked = ("compare", "recipe.toml", *LEAN, "train.epochs=6", "--out", "cmp")

    def runs(done: bool) -> list[Path]:
        """Runs with a result, or those with a checkpoint and none."""
        saved = {path.parents[1] for path in tmp_path.glob("cmp/runs/*/*/checkpoints/epoch*")}
        return sorted(run for run in saved if (run / "result.json").exists() == done)

    started = server.start(*asked, cwd=tmp_path)
    assert started.until(lambda: bool(runs(done=True) and runs(done=False)))  # of the first seed's two
    started.kill(signal.SIGKILL)
    started.wait()
    assert not (tmp_path / "cmp" / "compare.json").exists()  # no seed has been trained by all
    begun, before = runs(done=False), {run: (run / "result.json").stat().st_mtime_ns for run in runs(done=True)}
    assert len(begun) == 1
    ended = server.run(*asked, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert len(runs(done=True)) == 4
    assert {run: (run / "result.json").stat().st_mtime_ns for run in before} == before
    assert '"kind":"resume"' in (begun[0] / "rows.jsonl").read_text()


def test_plain_training_that_fails_ends_it_with_its_own_exit_code(server: Server, home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "recipe.toml", tmp_path)
    asked = ("compare", "recipe.toml", *LEAN, "train.lr=1e30", "--out", "cmp")
    for _ in range(2):  # the second time it is read from the run's folder
        complains(server.run(*asked, cwd=tmp_path), 4, "plain training itself failed", "fix the recipe")


def test_a_full_disk_ends_the_comparison(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise ResourceError("no space left")

    monkeypatch.setattr(import_module("fewer.session.fit"), "fit", full)
    plain, _ = variants_of(Base.read(home / "recipe.toml"), changes_of([], home / "variants.toml"))
    with pytest.raises(ResourceError, match="no space left"):
        list(complete([Arm("baseline", plain)], [0], tmp_path, {}, Silent()))


class Silent:
    """Hears nothing."""

    @contextmanager
    def training(self, title: str) -> Iterator[None]:
        yield

    def ended(self, cell: Cell, done: int, total: int) -> None:
        return


@pytest.mark.parametrize(("kind", "raises"), [("baseline", True), ("variant", False)])
def test_a_bug_is_kept_with_its_traceback(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, raises: bool
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("of a method")

    monkeypatch.setattr(import_module("fewer.session.fit"), "fit", broken)
    plain, _ = variants_of(Base.read(home / "recipe.toml"), changes_of([], home / "variants.toml"))
    arm = Arm(kind, plain)
    cells = complete([arm], [0], tmp_path, {}, Silent())
    if raises:  # nothing is left to compare with
        with pytest.raises(FewerError, match=r"plain training itself failed.*ZeroDivisionError: of a method"):
            list(cells)
    else:
        assert [(cell.state, cell.message) for cell in cells] == [("failed", "ZeroDivisionError: of a method")]
    assert "of a method" in (arm.folder(tmp_path) / "seed0.traceback.txt").read_text()


def test_after_each_seed_the_page_shows_what_there_is(server: Server, home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "recipe.toml", tmp_path)
    asked = ("compare", "recipe.toml", *LEAN, "train.epochs=1", "--out", "cmp")
    started = server.start(*asked, cwd=tmp_path)
    assert started.until((tmp_path / "cmp" / "compare.html").exists)
    started.kill(signal.SIGKILL)
    started.wait()
    assert json.loads((tmp_path / "cmp" / "compare.json").read_text())["runs"] == {"asked": 4, "there": 2}
    assert '<span class="state running">2 of 4 runs</span>' in (tmp_path / "cmp" / "compare.html").read_text()


def test_interrupted_it_says_that_the_same_command_goes_on(server: Server, home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "recipe.toml", tmp_path)
    started = server.start("compare", "recipe.toml", *LEAN, "train.epochs=50", "--out", "cmp", cwd=tmp_path)
    rows = tmp_path / "cmp" / "runs"
    assert started.until(lambda: any(rows.glob("*/*/rows.jsonl")))
    started.kill(signal.SIGINT)
    complains(started.wait(), 130, "interrupted after 0 of 4 runs; the same command continues")


def test_what_passed_is_confirmed_on_fresh_seeds_and_on_test(
    server: Server, compared: Ended, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path, symlinks=True, dirs_exist_ok=True)
    ended = server.run(*ASKED, "--no-curve", "--margin", "100", "--confirm", "2", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    confirmation = ended.json["confirmation"]
    assert (ended.json["metric"], confirmation["metric"]) == ("val/top1", "test/top1")
    assert (ended.json["seeds"], confirmation["seeds"]) == ([0, 1], [2, 3])
    assert [arm["name"] for arm in confirmation["arms"]] == ["plain", f"some {EVIL}"]
    frame = fewer.load_runs(tmp_path / "cmp")
    assert set(frame[frame["data.val"] == "none"]["seed"]) == {2, 3}
    assert (frame["data.val"] == "none").sum() == 4
    text = (tmp_path / "cmp" / "compare.html").read_text()
    assert "On fresh seeds: some &lt;script&gt;" in text
    assert len(set(ids := re.findall(r' id="([^"]+)"', text))) == len(ids)


# --- Bad questions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["--vary", "select.treshold=0.3", "select.method=dbpd"],
            ["--vary select.treshold=0.3", '"select.threshold"?'],
        ),
        (["--vary", "select.foo.bar=1"], ["--vary select.foo.bar=1", 'unknown key "select.foo"']),
        (["--vary", "select.method=dbdp"], ['unknown select.method "dbdp"', '"dbpd"?']),
        (["--vary", "select.method=dbpd,random", "select.treshold=1"], ['unknown key "select.treshold"', "threshold"]),
        (["--vary", "train.epoch=3"], ['unknown key "train.epoch"', '"train.epochs"?']),
        (["--vary", "select.threshold="], ["--vary select.threshold=:", "an axis is a key and its values"]),
        (["--vary", ""], ["an axis is a key and its values"]),
        (["--vary", "train.lr=0.1", "--vary", "train.lr=0.2"], ["train.lr is given twice"]),
        (["--vary", "train.seed=1,2"], ["train.seed cannot be varied", "--seeds"]),
        (["--vary", "data.val=5%,10%"], ["data.val cannot be varied", "same images"]),
        (["--vary", 'data={source="digits",val="30%"}'], ["data.val cannot be varied", "same images"]),
        (["--vary", "train={epochs=2,lr=0.1,seed=7}"], ["train.seed cannot be varied", "--seeds"]),
        (["--vary", "out.keep=1,2"], ["out.keep cannot be varied"]),
        (["--vary", "train.lr=0.05,0.1"], ["--vary train.lr=0.05: changes nothing"]),
        (["--vary", "select.method=everything"], ["changes nothing", "always run as the baseline"]),
        (["--vary", "train.lr=0.1,0.10"], ['the same recipe as variant "lr=0.1"']),
        ([], ["there is nothing to compare it with", "--vary select.method="]),
        (["--vary", "train.lr=0.1", "--seeds", "1"], ["--seeds 1", "2 or more"]),
        (["--vary", "train.lr=0.1", "--margin", "-1"], ["--margin -1"]),
        (["--vary", "train.lr=0.1", "--budgets", "half"], ['"half" is no budget']),
        (["--vary", "train.lr=0.1", "--budgets", "100%"], ["one budget makes no curve"]),
        (["--vary", "train.lr=0.1", "train.warmup=2ep", "--budgets", "50%,100%"], ["--budgets, 1 epochs", "longer"]),
        (["--vary", "train.lr=0.1", "--metric", "top1"], ["--metric top1", "val/top1"]),
        (["--vary", "train.lr=0.1", "--metric", "val/top2"], ["--metric val/top2", 'did you mean "top5"?']),
        (["--vary", "train.lr=0.1", "--metric", "val/few_shot"], ['no metric "few_shot"', "allowed: top1", "macro_f1"]),
        (["--vary", "train.lr=0.1", "--confirm", "2", "data.val=none"], ["--confirm 2", 'data.val = "none"']),
        (["--vary", "train.lr=0.1", "data.val=none", "data.test=none"], ["nothing to compare by"]),
        (["--vary", "train.batch_size=64,5000"], ["train.batch_size=64: changes nothing"]),
        (["--vary", "train.batch_size=5000,6000"], ["batch_size=5000: train.batch_size = 5000", "batch_size=6000"]),
        (["--vary", "select.cost=0.01", "select.method=dbpd"], ["cost=0.01: select.cost = 0.01"]),
        (["--variants", "none.toml"], ["none.toml: cannot read the variants"]),
        (["--variants", "recipe.toml"], ['holds "data"', "[variants."]),
        (["--vary", "train.lr=0.1", "--out", "taken"], ["taken: exists, and holds no comparison"]),
    ],
)
def test_bad_questions_are_refused_before_training(
    server: Server, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "photo.png").touch()
    complains(server.run("compare", "recipe.toml", *arguments, cwd=tmp_path), 2, *parts)
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_another_baseline_is_refused(server: Server, compared: Ended, home: Path) -> None:
    ended = server.run(*ASKED, "train.epochs=3", "model.width=0.3", cwd=home)
    complains(ended, 2, "another baseline", "model.width was 0.2, is 0.3", "train.epochs was 2, is 3", "--out")


def test_a_finished_run_of_other_data_is_refused(server: Server, compared: Ended, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, symlinks=True, dirs_exist_ok=True)
    for path in (tmp_path / "cmp" / "runs").glob("plain-1*/seed1/result.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "0123456789abcdef"}))
    complains(server.run(*ASKED, cwd=tmp_path), 2, "plain-1-epoch", "digest is 0123456789abcdef", "--out")


def test_an_unknown_metric_is_told_with_those_that_there_are(server: Server, compared: Ended, home: Path) -> None:
    complains(server.run(*ASKED, "--metric", "val/raw/top1", cwd=home), 2, 'no run has "val/raw/top1"', "val/top1")


def test_problems_of_variants_in_a_file_name_file_and_variant(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[variants.a]\nselect.method = "dbpd"\nselect.treshold = 1\n[variants.b]\ntrain.lr = "x"\n')
    with pytest.raises(RecipeError) as caught:
        variants_of(Base.read(recipe), changes_of([], file))
    first, second = caught.value.problems
    assert f'{file}, variant "a": unknown key "select.treshold"; did you mean "select.threshold"?' in first
    assert f'{file}, variant "b": train.lr' in second


def test_a_result_of_another_length_is_not_done(compared: Ended, home: Path, tmp_path: Path) -> None:
    """A damaged or half-written result is looked at as a run that can be resumed."""
    plain, _ = variants_of(Base.read(home / "recipe.toml"), changes_of([], home / "variants.toml"))
    baseline = Arm("baseline", plain)
    assert read_cell(baseline, 0, home / "cmp" / "runs").state == "done"
    shutil.copytree(home / "cmp" / "runs", tmp_path / "runs", symlinks=True)
    (baseline.folder(tmp_path / "runs") / "seed0" / "result.json").write_text('{"epochs": 2')
    assert read_cell(baseline, 0, tmp_path / "runs").state == "begun"
    assert read_cell(baseline, 7, tmp_path / "runs").state == "missing"


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['fewer', 'compare', '--help']\nfrom fewer.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


# --- Tables of many runs ---------------------------------------------------------------------------------------------


def test_load_runs_is_one_table(compared: Ended, home: Path) -> None:
    frame = fewer.load_runs(home)
    assert len(frame) == 10
    assert list(frame.columns[:4]) == ["run", "digest", "seed", "status"]
    assert sorted(frame["status"].unique()) == ["done", "failed"]
    done = results(home)
    for _, line in frame[frame["status"] == "done"].iterrows():
        result = done[home / line["run"]]
        assert line["test/top1"] == result["metrics"]["test/top1"]
        assert line["full_epoch_equivalents"] == result["ledger"]["full_epoch_equivalents"]
        assert line["seconds"] == result["ledger"]["seconds"]["total"]
        assert line["digest"] == result["digest"]
    assert {"select.method", "select.cost", "train.epochs"} <= set(frame.columns)
    assert "model.width" not in frame.columns  # equal in all
    assert "select.threshold" not in frame.columns  # of one variant only
    assert frame[frame["status"] == "failed"]["test/top1"].isna().all()


def test_load_runs_per_epoch_and_per_step(compared: Ended, home: Path) -> None:
    epochs, steps = fewer.load_runs(home, per="epoch"), fewer.load_runs(home, per="step")
    (plain,) = {run for run in epochs["run"] if re.search(r"/plain-[0-9a-f]{10}/seed0", run)}
    mine = epochs[epochs["run"] == plain]
    assert list(mine["epoch"]) == [0, 1]
    assert mine["val_top1"].notna().all()
    loss = steps[(steps["run"] == plain) & (steps["epoch"] == 1)]["loss"]
    assert len(loss) > 1
    assert mine["loss"].iloc[1] == pytest.approx(loss.mean(), rel=0.05)


def test_load_runs_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="no such folder"):
        fewer.load_runs(tmp_path / "none")
    with pytest.raises(RecipeError, match="holds no run folder"):
        fewer.load_runs(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FewerError, match="pip install pandas"):
        fewer.load_runs(tmp_path)
