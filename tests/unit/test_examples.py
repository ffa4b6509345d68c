"""The examples run, with few epochs, and do what they say."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
