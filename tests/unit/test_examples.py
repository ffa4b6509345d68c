"""The examples run, with few epochs, and do what they say."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fewer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> dict[str, Any]:
    """The names that an example defines; its main is not run."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)


def test_own_loop_trains_on_fewer_samples_and_learns(capsys: pytest.CaptureFixture[str]) -> None:
    results = example("own_loop")["main"](epochs=3)
    (plain_accuracy, plain), (accuracy, selected) = results[1.0], results[0.9]
    assert plain == 3 * 1437
    assert selected < 0.8 * plain
    assert min(plain_accuracy, accuracy) > 0.8
    assert capsys.readouterr().out.count("test accuracy") == 2


def test_own_loop_marks_every_line_that_is_ours() -> None:
    lines = (EXAMPLES / "own_loop.py").read_text().splitlines()
    code = [line for line in lines if "import" not in line and any(word in line for word in ("Table(", "rng.", "At("))]
    assert len(code) == 3
    assert all(line.endswith("# fewer") for line in code)


def test_own_selector_keeps_its_promises_and_trains(tmp_path: Path) -> None:
    result = example("own_selector")["main"](tmp_path / "run", epochs=2, share=0.25)
    assert result["epochs"] == 2
    assert result["ledger"]["samples_backpropagated"] == 1438 + round(0.25 * 1438)
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_notebook_runs_and_is_kept_without_outputs(tmp_path: Path) -> None:
    """In a process of its own: what a kernel's libraries warn of is not ours to mend."""
    path = EXAMPLES / "analysis.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    code = (
        "import sys, nbformat; from nbclient import NotebookClient\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "NotebookClient(notebook, timeout=120, kernel_name='python3').execute()\n"
        "nbformat.write(notebook, 'done.ipynb')"
    )
    here = {"PYTHONPATH": str(Path(fewer.__file__).parents[1]), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", code, str(path)]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **here}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    done = json.loads((tmp_path / "done.ipynb").read_text("utf-8"))["cells"]
    outputs = [output for cell in done for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("points on validation" in str(output.get("text", "")) for output in outputs)
    assert len(list(tmp_path.glob("runs/analysis/*/*/result.json"))) == 4


@pytest.fixture
def demo() -> dict[str, Any]:
    return example("demo")


def test_demo_prints_one_table_and_the_reports(
    demo: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train: Callable[..., dict[str, dict[str, Any]]] = demo["main"]
    quick = ("train.epochs=2", "model.width=0.25", "train.batch_size=256", "augment.crop_padding_px=0")
    results = train(tmp_path, quick)
    demo["show"](results, tmp_path, 1.0)
    said = capsys.readouterr().out
    assert list(results) == ["everything", "random", "dbpd stale", "dbpd fresh"]
    assert all(name in said for name in results)
    assert said.count("report.html") == 4
    assert results["everything"]["ledger"]["effective_epochs"] == 2
    assert results["random"]["ledger"]["effective_epochs"] == 1.5  # the last epoch is a revision on all images
    assert (tmp_path / "dbpd-fresh" / "report.html").is_file()


def test_demo_takes_the_place_of_an_earlier_one_and_of_nothing_else(demo: dict[str, Any], tmp_path: Path) -> None:
    earlier, other = tmp_path / "earlier", tmp_path / "other"
    earlier.mkdir()
    other.mkdir()
    (earlier / "recipe.resolved.toml").touch()
    (other / "photo.png").touch()
    demo["remove_earlier"](earlier)
    demo["remove_earlier"](other)
    assert not earlier.exists()
    assert (other / "photo.png").exists()
