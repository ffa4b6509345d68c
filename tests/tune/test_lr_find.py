"""`fewer lr-find`: the stages of a recipe, the files, and what a user gets to read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fewer.cli import app
from fewer.core.errors import FewerError, RecipeError
from fewer.plan.lr_finder import Range
from fewer.session import lr_finder
from fewer.testing.harness import one_thread

RECIPE = """
[data]
source = "digits"
subset = 90
[model]
name = "lenet5"
width = 0.25
[train]
optimizer = "adamw"
batch_size = 30
precision = "fp32"
[[stages]]
epochs = 1
side_px = 16
[[stages]]
epochs = 1
side_px = 20
lr_scale = 0.5
"""


@pytest.fixture(autouse=True)
def _short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lr_finder, "range_of", lambda recipe, facts, steps: Range(3e-4, 0.3, 40))
    monkeypatch.chdir(tmp_path)
    Path("two.toml").write_text(RECIPE)
    with one_thread():
        yield


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["lr-find", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def test_the_files_and_the_table_say_the_same() -> None:
    text = said("two.toml", "--stages", "--repeats", "2")
    folder = Path("runs/two-lr-find")
    document = json.loads((folder / "lr-find.json").read_text())
    first, second = document["stages"]
    assert [stage["side_px"] for stage in (first, second)] == [16, 20]
    for stage in (first, second):
        assert stage["low"] <= stage["lr"] * 1.05
        assert stage["lr"] <= stage["high"] * 1.05
        assert f"{stage['lr']:g}" in text
        assert f"use train.lr={stage['train_lr']:g}" in text
        assert not stage["cached"]
    assert second["train_lr"] == pytest.approx(2 * second["lr"], rel=0.06)
    rows = list(csv.DictReader((folder / "lr-find.csv").read_text().splitlines()))
    points = sum(sweep["points"] for stage in (first, second) for sweep in stage["sweeps"])
    assert len(rows) == points
    assert {row["stage"] for row in rows} == {"1", "2"}
    assert all(abs(float(row["smoothed_loss"])) < 10 for row in rows)
    with Image.open(io.BytesIO((folder / "lr-find.png").read_bytes())) as picture:
        assert picture.height > picture.width  # a panel a stage
    again = said("two.toml", "--stages", "--repeats", "2")
    assert again.count("cached") == 2
    fresh = json.loads(said("two.toml", "--repeats", "2", "--fresh", "--json", "--out", "elsewhere"))
    assert (fresh["stages"][0]["lr"], fresh["stages"][0]["cached"]) == (first["lr"], False)
    assert Path("elsewhere/lr-find.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two.toml", "--stage", "3"], r"--stage 3: the recipe has 2 stages, counted from 1; give a smaller number"),
        (["two.toml", "--stage", "2", "--stages"], r"--stages and --stage 2: give one of the two"),
        (["two.toml", "train.batch_size=60"], r"one of 60 holds most of the 90 images; use batches of 45"),
        (["none.toml"], r"none\.toml"),
    ],
)
def test_a_wrong_wish_is_an_error_with_a_fix(arguments: list[str], message: str) -> None:
    with pytest.raises(FewerError, match=message):
        said(*arguments)


def test_a_finder_and_a_cap_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match=r"train\.lr_max = 0\.4 caps a rate that is given.*leave one of the two out"):
        said("two.toml", "train.lr=auto", "train.lr_max=0.4", "train.lr_scaling=linear")
