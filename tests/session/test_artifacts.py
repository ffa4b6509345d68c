"""Plots, previews and the TensorBoard mirror: they show what was recorded, and change nothing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawings import drawings
from fewer import report
from fewer.core.errors import RecipeError, ResourceError
from fewer.recipe.parse import parse_recipe
from fewer.report.charts import curve_charts
from fewer.report.history import history
from fewer.report.load import load
from fewer.session import previews, tensorboard
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from fewer.training.loop import Row

Curves = dict[str, list[tuple[int, float]]]
ALL = {"plots": True, "previews": True, "tensorboard": True}
NONE = dict.fromkeys(ALL, False)
SECONDS = {"cost/seconds", "cost/images_per_second"}


def content(**out: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits", "test": "60%", "val": "60%", "cache": "no"},
        "augment": {"crop_padding_px": 2},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 60, "lr": 0.05, "precision": "fp32"},
        "select": {"method": "dbpd", "threshold": 0.5, "revision": "1ep"},
        "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 2, "side_px": 20}],
        "out": {"checkpoint_every": "3step", **out},
    }


class Killed(Silent):
    """A display that fails behind some batch: what was done since the last checkpoint is lost."""

    def __init__(self, behind: int) -> None:
        self.left = behind

    def row(self, row: Row, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Curious(Silent):
    """A display that draws the training images behind every batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def row(self, row: Row, session: Any) -> None:
        previews.write_stage(session.train_data, session.plan.stage(row.epoch), self.folder)


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True, scope="module")
def _drawn_by_one_thread() -> Iterator[None]:
    with one_thread(), drawings(True):
        yield


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a run that shows nothing."""
    return fit(parse_recipe(content(**NONE)), tmp_path_factory.mktemp("bare") / "run")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and result of a run that draws pictures behind every batch, and plots behind every epoch."""
    folder = tmp_path_factory.mktemp("shown") / "run"
    display = Curious(folder.with_name("seen"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.Budget, "allows", lambda *_: True)
        return folder, fit(parse_recipe(content(**ALL)), folder, display=display)


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]


def curves_of(run: Path) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_looking_at_a_run_changes_neither_it_nor_its_ledger(
    bare: dict[str, Any], shown: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = shown
    drawn = {path.stem for path in folder.glob("plots/*.png")}
    assert drawn == {"epochs", "seconds", "fee", "schedule", "classes"}
    assert len(list(folder.glob("previews/*.jpg"))) == 2
    assert result["state"] == bare["state"]
    assert result["metrics"] == bare["metrics"]
    machine = ("seconds", "stages", "peak_memory_bytes")
    assert {k: v for k, v in result["ledger"].items() if k not in machine} == {
        k: v for k, v in bare["ledger"].items() if k not in machine
    }


def test_tensorboard_reads_what_was_recorded(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, result = shown
    curves, rows = curves_of(folder), rows_of(folder)
    steps = [row for row in rows if row["kind"] == "step" and row["loss"] is not None]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    for tag, key in (("train/loss", "loss"), ("train/top1", "top1"), ("schedule/lr", "lr"),
                     ("schedule/momentum", "momentum"), ("cost/fee", "fee"), ("cost/seconds", "seconds"),
                     ("cost/effective_epochs", "effective_epochs")):  # fmt: skip
        assert [step for step, _ in curves[tag]] == [row["step"] for row in steps]
        assert [value for _, value in curves[tag]] == pytest.approx([row[key] for row in steps], rel=1e-6)
    assert [value for _, value in curves["select/epoch_kept_share"]] == pytest.approx([r["kept_share"] for r in epochs])
    assert [step for step, _ in curves["val/top1"]] == [row["step"] for row in epochs]
    assert curves["test/top1"] == [(epochs[-1]["step"], pytest.approx(result["metrics"]["test/top1"]))]
    assert len(list((folder / "tensorboard").iterdir())) == 1


@pytest.mark.parametrize("behind", [4, 13])
def test_a_resumed_run_has_the_curves_of_one_that_never_stopped(
    behind: int, tmp_path: Path, shown: tuple[Path, dict[str, Any]]
) -> None:
    quiet = {"plots": False, "previews": False}
    with pytest.raises(KeyboardInterrupt):
        fit(parse_recipe(content(tensorboard=behind == 4, **quiet)), tmp_path / "run", display=Killed(behind))
    resume(tmp_path / "run", ["out.tensorboard=true"])
    again, whole = curves_of(tmp_path / "run"), curves_of(shown[0])
    assert again.keys() == whole.keys()
    for tag in whole.keys() - SECONDS:
        assert again[tag] == whole[tag], tag
    taken = [value for _, value in again["cost/seconds"]]
    assert taken == sorted(taken)


def test_a_tensorboard_that_looks_on_drops_what_a_resume_took_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def row(step: int, loss: float) -> dict[str, Any]:
        return {"kind": "step", "step": step, "loss": loss, "kept": 1, "candidates": 2, "seconds": step / 10}

    first = tensorboard.TensorBoardWriter(tmp_path, [], 0.0, ())
    for step in range(1, 6):
        first.add(row(step, 1.0))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert len(events.Scalars("train/loss")) == 5
    second = tensorboard.TensorBoardWriter(tmp_path, [row(step, 1.0) for step in range(1, 4)], 0.3, ())
    second.add(row(4, 2.0))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]
    assert events.Scalars("select/kept_share")[0].value == 0.5
    first.close()
    second.close()


def test_the_missing_package_is_named_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None if name == "tensorboard" else found(name))
    with pytest.raises(RecipeError, match="pip install tensorboard"):
        fit(parse_recipe(content(tensorboard=True)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_shown_is_noted_once_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: dict[str, Any]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(previews, "write_stage", broken)
    monkeypatch.setattr(report.Budget, "allows", lambda *_: True)
    monkeypatch.setattr(report.Budget, "draw", broken)
    monkeypatch.setattr(tensorboard.TensorBoardWriter, "add", broken)
    display = Noting()
    result = fit(parse_recipe(content(**ALL)), tmp_path / "run", display=display)
    assert sorted(note for note in display.notes if "no ink" in note) == [
        f"no more {name}: ValueError: no ink" for name in ("TensorBoard mirror", "plots", "previews")
    ]
    assert result["state"] == bare["state"]
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("no ink") == 3


def test_a_mirror_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(ResourceError, match=r"tensorboard: cannot be written"):
        tensorboard.TensorBoardWriter(tmp_path / "tensorboard", [], 0.0, ())


def test_no_point_stands_twice_on_the_curves(shown: tuple[Path, dict[str, Any]]) -> None:
    folder = load(shown[0])
    for chart in curve_charts(folder, history(folder)):
        for panel in chart.panels:
            for role, points in panel.lines:
                if role in ("train", "val"):
                    assert len(points) == 3, (chart.key, panel.name, role)
