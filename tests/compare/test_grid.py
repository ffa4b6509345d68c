"""Grid of runs: finished ones are used, the others trained, and failures do not spread."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fewer.compare.arms import Arm
from fewer.compare.grid import Cell, complete, read_cell
from fewer.compare.variants import Base, changes_of, variants_of
from fewer.core.errors import FewerError, ResourceError
from server import Ended, Server, complains
from small_comparison import LEAN


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
        list(complete([Arm("baseline", plain)], [0], tmp_path, {}, Silent(), lambda cell: None, 1.0))


class Silent:
    """Hears nothing."""

    @contextmanager
    def training(self, title: str) -> Iterator[None]:
        yield

    def ended(self, cell: Cell, fee: float, done: int, total: int, left_s: float | None) -> None:
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
    cells = complete([arm], [0], tmp_path, {}, Silent(), lambda cell: None, 1.0)
    if raises:  # nothing is left to compare with
        with pytest.raises(FewerError, match=r"plain training itself failed.*ZeroDivisionError: of a method"):
            list(cells)
    else:
        assert [(cell.state, cell.message) for cell in cells] == [("failed", "ZeroDivisionError: of a method")]
    assert "of a method" in (arm.folder(tmp_path) / "seed0.traceback.txt").read_text()


def test_a_result_of_another_length_is_not_done(compared: Ended, home: Path, tmp_path: Path) -> None:
    """A damaged or half-written result is looked at as a run that can be resumed."""
    plain, _ = variants_of(Base.read(home / "recipe.toml"), changes_of([], home / "variants.toml"))
    baseline = Arm("baseline", plain)
    assert read_cell(baseline, 0, home / "cmp" / "runs").state == "done"
    shutil.copytree(home / "cmp" / "runs", tmp_path / "runs", symlinks=True)
    (baseline.folder(tmp_path / "runs") / "seed0" / "result.json").write_text('{"epochs": 2')
    assert read_cell(baseline, 0, tmp_path / "runs").state == "begun"
    assert read_cell(baseline, 7, tmp_path / "runs").state == "missing"
