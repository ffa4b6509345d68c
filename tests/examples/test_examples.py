"""Every example runs, on a tiny setting, and does what it says."""

from __future__ import annotations

import functools
import json
import os
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import scripts
from drawings import drawings
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks
from paths import EXAMPLES
from server import Server

Smoked = Callable[[str], tuple[str, Path]]


def _smoke(name: str) -> str:
    with drawings(True):
        return scripts.run("examples", name, "--smoke")


@pytest.fixture(scope="module")
def smoked(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Smoked:
    """Runs an example with `--smoke`, once: what it printed, and the folder that it ran in."""

    @functools.cache
    def run(name: str) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp(name)
        return server.call(_smoke, name, cwd=folder), folder

    return run


@pytest.mark.parametrize("name", scripts.names("examples"))
def test_every_example_runs(smoked: Smoked, name: str) -> None:
    printed, folder = smoked(name)
    assert len(printed.splitlines()) >= 1
    assert all("-" in path.name for path in folder.iterdir()), "in temporary folders alone"


def example(name: str) -> dict[str, Any]:
    """The names that an example defines; its main is not run."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)


def test_own_loop_trains_on_fewer_samples_and_learns(smoked: Smoked) -> None:
    printed, _ = smoked("own_loop")
    lines = re.findall(r"threshold (\S+)   test accuracy (\S+)%   cost of (\S+) full epochs", printed)
    (_, plain_accuracy, plain), (_, accuracy, selected) = [tuple(map(float, line)) for line in lines]
    assert [line[0] for line in lines] == ["1.0", "0.9"]
    assert plain == 3
    assert selected < 0.8 * plain
    assert min(plain_accuracy, accuracy) > 80


@pytest.mark.parametrize("name", ["own_loop", "ddp_loop", "timm_style", "own_local_sgd"])
def test_every_line_that_is_ours_is_marked(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    word = re.compile(
        r"chooser\.(?!spent\(\)\[)\w|Chooser\(|Indexed\(|import Chooser|import Indexed|sync\.\w+\(|LocalSGD\("
    )
    ours = [line for line in lines if word.search(line)]
    assert len(ours) >= 4
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


def _local_rank(comm: Any, keys: dict[str, Any]) -> tuple[float, int]:
    found: tuple[float, int] = example("own_local_sgd")["main"](2, **keys)
    return found


def test_own_local_sgd_agrees_on_few_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    with one_thread():
        (accuracy, sent), (same, _) = on_ranks(2, _local_rank, {"every_steps": 16, "payload": "int8"})
    assert accuracy == same > 0.7
    parameters = sum(p.numel() for p in example("own_loop")["convnet"]().parameters())
    steps = 2 * (1437 // 32)
    every_step = steps * 4 * parameters
    assert sent < every_step / 40, "a sixteenth of the exchanges, a quarter of the bytes"


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


def test_own_selector_keeps_its_promises_and_trains(smoked: Smoked) -> None:
    printed, folder = smoked("own_selector")
    assert "keeps every promise" in printed
    (run,) = folder.glob("own_selector-*")
    result, images = json.loads((run / "result.json").read_text()), json.loads((run / "plan.json").read_text())
    assert result["epochs"] == 2
    train_images = images["train_images"]
    assert result["ledger"]["samples_backpropagated"] == train_images + round(0.5 * train_images)
    assert (run / "report.html").is_file()


def _notebook(path: str) -> dict[str, Any]:
    """Runs the cells of a notebook: what they print, and the types of what they show."""
    os.environ |= {"IPYTHONDIR": os.path.abspath("ipython"), "FEWER_SMOKE": "1"}
    import matplotlib
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from matplotlib_inline.backend_inline import configure_inline_support

    shell = InteractiveShell.instance()
    matplotlib.use("module://matplotlib_inline.backend_inline")
    configure_inline_support(shell, "inline")
    printed, shown = "", set()
    for cell in json.loads(Path(path).read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            with capture_output() as captured:
                shell.run_cell("".join(cell["source"])).raise_error()
            printed += captured.stdout
            shown |= {kind for output in captured.outputs for kind in output.data}
    return {"printed": printed, "shown": sorted(shown)}


def test_the_notebook_runs_and_is_kept_without_outputs(server: Server, tmp_path: Path) -> None:
    path = EXAMPLES / "analysis.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    done = server.call(_notebook, str(path), cwd=tmp_path)
    assert "image/png" in done["shown"]
    assert "points on validation" in done["printed"]
    assert len(list(tmp_path.glob("runs/analysis/*/*/result.json"))) == 4


def test_demo_prints_one_table_and_the_reports(smoked: Smoked) -> None:
    printed, folder = smoked("demo")
    names = ["everything", "random", "dbpd stale", "dbpd fresh"]
    (out,) = folder.glob("fewer-demo-*")
    runs = {name: out / name.replace(" ", "-") for name in names}
    results = {name: json.loads((run / "result.json").read_text()) for name, run in runs.items()}
    assert all(name in printed for name in names)
    assert printed.count("report.html") == 4
    assert all((run / "report.html").is_file() for run in runs.values())
    assert results["everything"]["ledger"]["effective_epochs"] == 2
    assert results["random"]["ledger"]["effective_epochs"] == 1.5  # the last epoch is a revision on all images


def test_demo_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path) -> None:
    demo = example("demo")
    earlier, other = tmp_path / "earlier", tmp_path / "other"
    earlier.mkdir()
    other.mkdir()
    (earlier / "recipe.resolved.toml").touch()
    (other / "photo.png").touch()
    demo["remove_earlier"](earlier)
    demo["remove_earlier"](other)
    assert not earlier.exists()
    assert (other / "photo.png").exists()
