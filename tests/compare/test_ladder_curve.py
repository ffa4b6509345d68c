"""A comparison whose plain curve is a ladder: shorter plain training branches off one trunk a seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from fewer.compare.arms import Arm, arms_of
from fewer.compare.comparison import Question, compare
from fewer.compare.grid import Cell
from fewer.compare.variants import Base, changes_of, variants_of
from fewer.core.errors import RecipeError
from fewer.runs.record import read_object
from fewer.session.fit import fit
from fewer.testing.harness import one_thread

RECIPE = """[data]
source = "digits"
subset = 90
val = "20%"
test = "none"
[model]
name = "lenet5"
width = 0.1
[train]
epochs = 8
batch_size = 30
lr = 0.05
side_px = 16
"""
BUDGETS = "50%,75%,100%"


class Said:
    """A follower that keeps what it is told."""

    def __init__(self) -> None:
        self.notes, self.done = list[str](), list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def training(self, title: str) -> nullcontext[None]:
        return nullcontext()

    def ended(self, cell: Cell, fee: float, done: int, total: int, left_s: float | None) -> None:
        assert cell.state == "done", cell.message
        self.done.append(f"{cell.arm.name}, seed {cell.seed}")


def question(folder: Path, **keys: Any) -> Question:
    (folder / "recipe.toml").write_text(RECIPE)
    asked = {"vary": ("train.lr=0.02",), "seeds": 2, "budgets": BUDGETS, "curve": "ladder", **keys}
    return Question(folder / "recipe.toml", **asked)


def arms(folder: Path, budgets: list[int], extra: str = "") -> list[Arm]:
    (folder / "recipe.toml").write_text(RECIPE + extra)
    base = Base.read(folder / "recipe.toml")
    plain, variants = variants_of(base, changes_of(["train.lr=0.02"], None))
    return arms_of(base, plain, variants, budgets, "ladder")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ladder")


@pytest.fixture(scope="module")
def compared(home: Path) -> tuple[Mapping[str, Any], Said]:
    with one_thread():
        return compare(question(home), home / "out", said := Said()), said


def rung_folder(home: Path, epochs: int) -> Path:
    (found,) = (home / "out" / "runs").glob(f"plain-{epochs}-epochs-cooldown*")
    return found / "seed1"


def test_the_longest_budget_below_the_whole_is_the_trunk_and_others_leave_it(tmp_path: Path) -> None:
    baseline, variant, *curves = arms(tmp_path, [2, 4, 6, 8])
    assert (baseline.kind, variant.kind) == ("baseline", "variant")
    plain = [arm for arm in curves if arm.kind == "plain"]
    assert [arm.epochs for arm in plain] == [2, 4, 6]
    assert plain[2].trunk is None
    assert [(arm.trunk, arm.rung and arm.rung.begins) for arm in plain[:2]] == [(plain[2], 1), (plain[2], 3)]
    assert [arm.own_share for arm in plain] == [0.5, 0.25, 1.0]
    assert [arm.recipe.epochs for arm in curves if arm.kind == "random"] == [8, 8, 8]
    assert [str(moment) for moment in plain[2].recipe.out.keep_at] == ["1ep", "3ep"]


@pytest.mark.parametrize(
    ("budgets", "extra", "said"),
    [
        ([1, 8], "", "--curve ladder: .* leaves nothing of 1 epochs"),
        ([2, 8], 'warmup = "25%"\n', "--curve ladder: .* warm-up of 2 epochs is not over .* or give --curve runs"),
    ],
)
def test_a_recipe_that_makes_no_ladder_is_refused(tmp_path: Path, budgets: list[int], extra: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        arms(tmp_path, budgets, extra)


def test_an_unknown_curve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--curve stairs: runs or ladder"):
        compare(question(tmp_path, curve="stairs"), tmp_path / "out", Said())


def test_a_rung_is_the_run_that_would_be_trained_alone(home: Path, compared: tuple[Any, Said], tmp_path: Path) -> None:
    folder = rung_folder(home, 4)
    assert read_object(folder / "origin.json")["checkpoint"] == "epoch00003-batch0000000"
    from fewer.recipe.parse import load_recipe

    with one_thread():
        alone = fit(load_recipe(folder / "recipe.resolved.toml"), tmp_path / "alone")
    branched = read_object(folder / "result.json")
    assert (branched["state"], branched["digest"]) == (alone["state"], alone["digest"])
    ledgers = branched["ledger"], alone["ledger"]
    assert ledgers[0]["flops"] == ledgers[1]["flops"], "it has the cost of the whole run, its trunk included"


def test_variants_are_judged_against_the_ladder(compared: tuple[Any, Said]) -> None:
    summary, said = compared
    assert summary["curve"] == "ladder"
    names = ["plain", "lr=0.02", "plain, 4 epochs, cooldown", "random, cost 0.5", "plain, 6 epochs, cooldown"]
    assert [arm["name"] for arm in summary["arms"]] == [*names, "random, cost 0.75"]
    variant, rung = summary["arms"][1], summary["arms"][2]
    assert rung["cost"] == pytest.approx(0.5)
    assert variant["over_plain_at_equal_fee"]["n"] == 2
    assert "cooldowns of one trunk and random" in said.notes[0]
    whole, part = 2 * 8 * (1 + 1), 2 * (6 + 1)  # baseline and variant; trunk and the cooldown of 4 epochs
    assert f"they take {whole + part + 2 * 8 * (0.5 + 0.75):.0f}" in said.notes[0]
    first = said.done[: len(said.done) // 2]
    assert first.index("plain, 6 epochs, cooldown, seed 0") < first.index("plain, 4 epochs, cooldown, seed 0")


def test_asked_again_nothing_is_trained_and_without_a_checkpoint_a_rung_is_trained_alone(
    home: Path, compared: tuple[Any, Said], tmp_path: Path
) -> None:
    shutil.copytree(home / "out", tmp_path / "out")
    before = read_object(rung_folder(tmp_path, 4) / "result.json")
    shutil.rmtree(rung_folder(tmp_path, 4))
    shutil.rmtree(rung_folder(tmp_path, 6) / "checkpoints" / "epoch00003-batch0000000")
    with one_thread():
        again = compare(question(tmp_path), tmp_path / "out", said := Said())
    assert "all of them are done" not in said.notes[0]
    assert read_object(rung_folder(tmp_path, 4) / "result.json")["state"] == before["state"]
    assert not (rung_folder(tmp_path, 4) / "origin.json").exists()
    assert [arm["metrics"] for arm in again["arms"]] == [arm["metrics"] for arm in compared[0]["arms"]]
    assert compare(question(tmp_path), tmp_path / "out", said := Said())["arms"] == again["arms"]
    assert "all of them are done" in said.notes[0]
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "off one trunk a seed" in page
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["curve"] == "ladder"
