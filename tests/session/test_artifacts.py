"""Plots, previews and the TensorBoard mirror: they show what was recorded, and change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawings import drawings
from fewer import report
from fewer.recipe.parse import parse_recipe
from fewer.report.charts import curve_charts
from fewer.report.history import history
from fewer.report.load import load
from fewer.session import previews, tensorboard
from fewer.session.fit import fit
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from shown_runs import ALL, NONE, content


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


def test_looking_at_a_run_changes_neither_it_nor_its_ledger(
    bare: dict[str, Any], shown: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = shown
    drawn = {path.stem for path in folder.glob("plots/*.png")}
    assert drawn == {"epochs", "seconds", "fee", "schedule", "classes"}
    assert {path.stem for path in folder.glob("previews/*.jpg")} == {"stage-1", "stage-2", "validation"}
    assert result["state"] == bare["state"]
    assert result["metrics"] == bare["metrics"]
    machine = ("seconds", "stages", "peak_memory_bytes")
    assert {k: v for k, v in result["ledger"].items() if k not in machine} == {
        k: v for k, v in bare["ledger"].items() if k not in machine
    }


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


def test_no_point_stands_twice_on_the_curves(shown: tuple[Path, dict[str, Any]]) -> None:
    folder = load(shown[0])
    for chart in curve_charts(folder, history(folder)):
        for panel in chart.panels:
            for role, points in panel.lines:
                if role in ("train", "val"):
                    assert len(points) == 3, (chart.key, panel.name, role)
