"""Resuming through the public functions: longer runs, stages, tars, and what stays as it was."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fewer.display import Silent
from fewer.errors import RecipeError, Stopped
from fewer.fit import fit, resume
from fewer.loop import Row
from fewer.reading import load_recipe, parse_recipe
from fewer.testing.harness import one_thread

STAGES = [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 20, "batch_size": 40}]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**sections: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits", "test": "30%", "val": "60%", "cache": "no"},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 60, "lr": 0.05, "precision": "fp32"},
        "stages": STAGES,
        "out": {"checkpoint_every": "3step"},
        **sections,
    }


class Stopping(Silent):
    """A display that asks the run to stop behind some batch, as a signal does."""

    def __init__(self, behind: int) -> None:
        self.left = behind

    def row(self, row: Row, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            session.run.stop_requested = True


def test_a_staged_run_stops_and_resumes_to_the_same_state(tmp_path: Path) -> None:
    whole = fit(parse_recipe(content()), tmp_path / "whole")
    for number, behind in enumerate((1, 9)):
        out = tmp_path / f"stopped{number}"
        with pytest.raises(Stopped):
            fit(parse_recipe(content()), out, display=Stopping(behind))
        again = resume(out)
        assert again["state"] == whole["state"]
        assert again["metrics"] == whole["metrics"]
        assert (out / "metrics.csv").read_text().count("\n") == 3


def test_a_resolved_recipe_is_the_recipe(tmp_path: Path) -> None:
    recipe = parse_recipe(content(select={"method": "dbpd", "revision": "1ep"}))
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == recipe
    assert recipe.train.epochs == 2, "the stages' sum"


def test_a_finished_staged_run_can_be_trained_longer(tmp_path: Path) -> None:
    fit(parse_recipe(content()), tmp_path / "run")
    longer = resume(tmp_path / "run", ["train.epochs=4"])
    assert longer["epochs"] == 4
    assert longer["ledger"]["effective_epochs"] == 4.0
    stages = json.loads((tmp_path / "run" / "plan.json").read_text())["stages"]
    assert [stage["epochs"] for stage in stages] == [1, 3]
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    assert [row["new"] for row in rows if row["kind"] == "amendment"] == [4]
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == [0, 1, 2, 3]


@pytest.mark.parametrize("override", ["train.epochs=1", "stages.0.epochs=2", "stages.1.side_px=24", "train.lr=1.0"])
def test_what_may_not_change_is_refused_and_changes_nothing(tmp_path: Path, override: str) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe(content()), tmp_path / "run", display=Stopping(2))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.toml")}
    with pytest.raises(RecipeError):
        resume(tmp_path / "run", [override])
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.toml")}


def test_a_run_on_a_tar_resumes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = torch.randint(0, 256, (20, 20, 3), dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "photos", "photos")
    data = {"source": f"tar:{tmp_path / 'photos.tar'}", "val": "20%"}
    recipe = parse_recipe(content(data=data, train={"batch_size": 8, "lr": 0.05, "epochs": 2}, stages=[], out={}))
    whole = fit(recipe, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(recipe, tmp_path / "stopped", display=Stopping(3))
    assert resume(tmp_path / "stopped")["state"] == whole["state"]
