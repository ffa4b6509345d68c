"""The TensorBoard mirror: it reads what was recorded, also behind a resume."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawings import drawings
from fewer.core.errors import RecipeError, ResourceError, Stopped
from fewer.recipe.parse import parse_recipe
from fewer.session import tensorboard
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from fewer.training.loop import Row
from shown_runs import content

Curves = dict[str, list[tuple[int, float]]]
SECONDS = {"cost/seconds", "cost/images_per_second"}


class Killed(Silent):
    """A display that fails behind some batch: what was done since the last checkpoint is lost."""

    def __init__(self, behind: int) -> None:
        self.left = behind

    def row(self, row: Row, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True, scope="module")
def _drawn_by_one_thread() -> Iterator[None]:
    with one_thread(), drawings(True):
        yield


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]


def curves_of(run: Path) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


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
    with pytest.raises(Stopped):
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


def test_a_mirror_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(ResourceError, match=r"tensorboard: cannot be written"):
        tensorboard.TensorBoardWriter(tmp_path / "tensorboard", [], 0.0, ())
