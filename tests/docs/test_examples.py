"""The examples run, with few epochs, and do what they say."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fewer
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks
from paths import EXAMPLES


def example(name: str) -> dict[str, Any]:
    """The names that an example defines; its main is not run."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)


def test_own_loop_trains_on_fewer_samples_and_learns(capsys: pytest.CaptureFixture[str]) -> None:
    results = example("own_loop")["main"](epochs=3)
    (plain_accuracy, plain), (accuracy, selected) = results[1.0], results[0.9]
    assert plain == 3
    assert selected < 0.8 * plain
    assert min(plain_accuracy, accuracy) > 0.8
    assert capsys.readouterr().out.count("test accuracy") == 2


@pytest.mark.parametrize("name", ["own_loop", "ddp_loop", "timm_style"])
def test_every_line_that_is_ours_is_marked(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    word = re.compile(r"chooser\.(?!spent\(\)\[)\w|Chooser\(|Indexed\(|import Chooser|import Indexed")
    ours = [line for line in lines if word.search(line)]
    assert len(ours) >= 6
    assert not [line for line in ours if "# fewer" not in line]


def _both_ranks(comm: Any, checkpoint: Path) -> tuple[float, list[int]]:
    found: tuple[float, list[int]] = example("ddp_loop")["main"](checkpoint, epochs=4, until=2)
    return found


def test_ddp_loop_goes_on_in_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "state.pt"
    with one_thread():
        (accuracy, first), (same, second) = on_ranks(2, _both_ranks, checkpoint)
    assert accuracy == same > 0.7
    assert first == second, "ranks take equally many steps"
    assert first[0] == 719
    assert first[1] < 700
    (accuracy, rest), *_ = on_ranks(1, lambda comm: example("ddp_loop")["main"](checkpoint, epochs=4))
    assert len(rest) == 2
    assert accuracy > 0.9


TIMM_STYLE = ["--img-size", "16", "-b", "128", "--epochs", "3", "--seed", "1"]


def test_timm_style_resumes_where_it_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = example("timm_style")["main"]
    selection = ["--select", "kakurenbo", "--select-opt", "hidden=0.5", "--select-opt", "confidence=0.2"]
    unstopped = main([*TIMM_STYLE, *selection, "--output", str(tmp_path / "a")])
    assert unstopped["chosen"] < 1437
    assert unstopped["full_epoch_equivalents"] < 3

    class KilledError(Exception):
        pass

    def killed(epoch: int, *_: Any) -> None:
        raise KilledError

    train = main.__globals__["train_one_epoch"]
    main.__globals__["train_one_epoch"] = lambda epoch, *rest: train(epoch, *rest) if epoch < 1 else killed(epoch)
    with pytest.raises(KilledError):
        main([*TIMM_STYLE, *selection, "--output", str(tmp_path / "b")])
    main.__globals__["train_one_epoch"] = train
    checkpoint = str(tmp_path / "b" / "last.pt")
    assert main([*TIMM_STYLE, *selection, "--output", str(tmp_path / "b"), "--resume", checkpoint]) == unstopped
    assert len((tmp_path / "b" / "summary.jsonl").read_text().splitlines()) == 3


def test_timm_style_trains_a_timm_model_on_an_image_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 12), ("val", 4)):
        for index in range(count):
            path = tmp_path / split / ("ab"[index % 2]) / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 36), (250 * (index % 2), 20 * index, 90)).save(path)
    arguments = ["--data-dir", str(tmp_path), "--model", "test_resnet", "--img-size", "32", "-b", "4", "--epochs", "2"]
    summary = example("timm_style")["main"](
        [*arguments, "--select", "random", "--select-cost", "0.5", "--output", str(tmp_path / "out")]
    )
    assert summary["effective_epochs"] == 1.0
    assert 0 <= summary["eval_top1"] <= 100


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
