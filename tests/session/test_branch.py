"""Branches: what they take over, what they may change, and what they are billed for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.core.errors import CheckpointError, RecipeError
from fewer.runs.record import read_object, read_rows
from fewer.session.branch import branch_off
from fewer.session.fit import fit, resume
from fewer.testing.harness import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**train: Any) -> dict[str, Any]:
    """Three batches an epoch; a constant rate behind one epoch of warm-up."""
    keys = {"schedule": "cooldown", "warmup": "1ep", "cooldown": "1ep", **train}
    return {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 5, "batch_size": 30, "lr": 0.05, "side_px": 16, **keys},
        "out": {"plots": False, "previews": False, "keep": 50},
    }


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("branch") / "trunk"
    fit(parse_recipe(content()), folder)
    return folder


def test_a_branch_without_changes_is_the_trunk_bit_for_bit(trunk: Path, tmp_path: Path) -> None:
    out = branch_off(f"{trunk}@2", [], tmp_path / "same")
    assert resume(out)["state"] == read_object(trunk / "result.json")["state"]


def test_a_cooldown_from_a_checkpoint_is_the_run_of_that_length(trunk: Path, tmp_path: Path) -> None:
    out = branch_off(f"{trunk}@epoch00002-batch0000000", ["train.epochs=3"], tmp_path / "short")
    short = resume(out)
    asked = fit(parse_recipe(content(epochs=3)), tmp_path / "asked")
    assert short["state"] == asked["state"], "one trunk serves runs of any length"
    assert short["metrics"] == asked["metrics"]
    assert short["ledger"]["full_epoch_equivalents"] == pytest.approx(3), "the trunk's part is counted"
    assert short["ledger"]["seconds"]["total"] > short["origin"]["seconds"]
    assert short["origin"]["checkpoint"] == "epoch00002-batch0000000"
    assert short["origin"]["full_epoch_equivalents"] == pytest.approx(2)
    assert Path(short["origin"]["run"]) == trunk.resolve()
    rows = read_rows(out / "rows.jsonl")
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == [0, 1, 2]
    assert [row["kind"] for row in rows].count("branch") == 1
    assert short["best"]["epoch"] == 2, "the trunk's own best stays the trunk's"


def test_a_variant_takes_its_own_rates_from_the_checkpoint_on(trunk: Path, tmp_path: Path) -> None:
    keys = ["train.schedule=linear", "train.cooldown=20%", "train.lr=0.1", "train.weight_decay=0.01"]
    content = ["train.schedule=linear", "train.lr=0.1", "train.weight_decay=0.01"]
    with pytest.raises(RecipeError, match="cooldown"):
        branch_off(str(trunk) + "@2", keys, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
    out = branch_off(str(trunk) + "@2", content, tmp_path / "variant")
    resume(out)
    rates = [row["lr"] for row in read_rows(out / "rows.jsonl") if row["kind"] == "step"]
    # Behind two of five epochs a straight line from the end of the warm-up, at a fifth, stands at three quarters.
    assert rates[5] == pytest.approx(0.05)
    assert rates[6] == pytest.approx(0.1 * 0.75)
    assert resume(out)["state"] != read_object(trunk / "result.json")["state"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model.width=0.2", "the weights are the trunk's"),
        ("data.val=10%", "images and split"),
        ("select.method=random", "what selection knows"),
        ("train.ema=10%", "averages of the weights: ema; a branch keeps its trunk's: none"),
        ("train.budget=0.5", "write train.epochs=N"),
        ("train.precision=fp64", "precision"),
        ("train.nothing=1", "unknown key"),
    ],
)
def test_what_a_branch_cannot_change_is_refused(trunk: Path, tmp_path: Path, key: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        branch_off(f"{trunk}@2", [key], tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_branch_cannot_end_before_it_begins(trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.epochs = 2: the trunk stands in epoch 4 there"):
        branch_off(f"{trunk}@3", ["train.epochs=2"], tmp_path / "refused")


def test_places_that_are_none_are_refused(trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no checkpoint epoch00009.*it has epoch00001.*out\.keep_at"):
        branch_off(f"{trunk}@9", [], tmp_path / "b")
    with pytest.raises(RecipeError, match="not a run folder"):
        branch_off(str(tmp_path), [], tmp_path / "b")
    with pytest.raises(RecipeError, match="not a run folder"):
        branch_off(f"{tmp_path}/none@3", [], tmp_path / "b")
    with pytest.raises(RecipeError, match="the run folder exists"):
        branch_off(f"{trunk}@2", [], trunk)
    again = branch_off(f"{trunk}@2")
    assert again == trunk.with_name("trunk-branch")
    (again / "checkpoints" / "epoch00002-batch0000000" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        branch_off(f"{again}@2", [], tmp_path / "b")


def test_stages_that_have_begun_stay(tmp_path: Path) -> None:
    stages = [{"epochs": 1, "side_px": 16}, {"epochs": 2, "side_px": 20}, {"epochs": 1, "side_px": 20}]
    keys = {key: value for key, value in content()["train"].items() if key not in ("epochs", "side_px")}
    fit(parse_recipe({**content(), "train": keys, "stages": stages}), tmp_path / "trunk")
    place = f"{tmp_path / 'trunk'}@2"
    with pytest.raises(RecipeError, match="that stage has begun"):
        branch_off(place, ["stages.1.side_px=24"], tmp_path / "b")
    out = branch_off(place, ["stages.2.side_px=24", "train.epochs=5"], tmp_path / "b")
    assert resume(out)["epochs"] == 5
    assert [stage["epochs"] for stage in read_object(out / "plan.json")["stages"]] == [1, 2, 2]
