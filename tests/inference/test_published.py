"""Opening a published model, which anybody may have written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.core.errors import CheckpointError
from fewer.models.published import open_model
from paths import DOCS
from server import Server, complains


def test_an_unfinished_run_gives_its_newest_model(server: Server, copied: Path) -> None:
    for name in ("best", "last"):
        (copied / "checkpoints" / name).unlink()
    newest = max(path.name for path in (copied / "checkpoints").glob("model-epoch*"))
    ended = server.run("eval", "done", "--json", cwd=copied.parent)
    assert Path(ended.json["model"]).name == newest
    for path in (copied / "checkpoints").glob("model-epoch*"):
        shutil.rmtree(path)
    complains(server.run("predict", "done", "done/checkpoints", cwd=copied.parent), 3, "no images")
    complains(server.run("eval", "done", cwd=copied.parent), 5, "no longer holds its model", "fewer train")
    (copied / "result.json").unlink()
    complains(server.run("eval", "done", cwd=copied.parent), 5, "has published no model yet", "fewer resume")
    checkpoint = next(path for path in (copied / "checkpoints").iterdir() if path.name.startswith("epoch"))
    complains(server.run("eval", str(checkpoint), cwd=copied.parent), 5, "not a published model", "checkpoints/best")


def test_the_page_on_run_folders_names_every_file(copied: Path) -> None:
    page = (DOCS / "run-folder.md").read_text("utf-8")
    names = [f"{path.name}/" if path.is_dir() else path.name for path in copied.iterdir()]
    assert {"result.json", "rows.jsonl", "checkpoints/"} <= set(names)
    assert not [name for name in names if f"`{name}`" not in page and name != ".lock"]


def test_damaged_weights(server: Server, copied: Path) -> None:
    weights = copied / "checkpoints" / "best" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    complains(server.run("eval", "done", cwd=copied.parent), 5, "model.safetensors is not what was written")


def rewritten(run: Path, change: Callable[[dict[str, Any]], object], weights: bytes | None = None) -> Path:
    """The run's best model with another `model.json`, under a manifest that agrees with it."""
    folder = (run / "checkpoints" / "best").resolve()
    about = json.loads((folder / "model.json").read_text())
    text = change(about)
    (folder / "model.json").write_bytes(text if isinstance(text, bytes) else json.dumps(about).encode())
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda about: about.update(schema=3), "schema"),
        (lambda about: about["model"].update(name="os.system"), "model.name"),
        (lambda about: about["model"].update(width=1e9), "model.width"),
        (lambda about: about["model"].update(width=0.2), "do not fit lenet5 with 2 classes"),
        (
            lambda about: about["task"].update(classes=["a"], train_images_per_class=[1]),
            "do not fit lenet5 with 1 classes",
        ),
        (lambda about: about["task"].update(train_images_per_class=[1]), "not one number a class"),
        (lambda about: about["task"].update(train_images_per_class=[1, -1]), "train_images_per_class"),
        (lambda about: about["task"].update(classes=["a"] * 2), "two classes of one name"),
        (lambda about: about["task"].update(classes="ab"), "classes"),
        (lambda about: about["task"].update(classes=[]), "classes"),
        (lambda about: about.update(side_px=10**9), "side_px"),
        (lambda about: about.update(side_px="32"), "side_px"),
        (lambda about: about.update(mean=[0.5, 0.5]), "mean"),
        (lambda about: about.update(mean=[0.5, 0.5, float("nan")]), "mean.2"),
        (lambda about: about.update(std=[0.5, 0.5, 0]), "std.2"),
        (lambda about: about.update(precision="fp4\x1b[2J"), "precision"),
        (lambda about: about["task"].update(tta="yes"), "tta"),
        (lambda about: about["task"].update(tta_below=0), "tta_below"),
        (lambda about: about["task"].update(name="os"), 'no task "os"; allowed: classify'),
        (lambda about: about["task"].update(name=["classify"]), "no task"),
        (lambda about: about.update(task="classify"), "task"),
        (lambda about: about.pop("task"), "task"),
        (lambda about: about.pop("mean"), "mean"),
        (lambda about: b"[" * 100_000, "model.json"),
        (lambda about: b"[1, 2]", "model.json"),
        (lambda about: b"\xff", "model.json"),
    ],
)
def test_hostile_description(copied: Path, change: Callable[[dict[str, Any]], object], part: str) -> None:
    rewritten(copied, change)
    with pytest.raises(CheckpointError) as caught:
        open_model(copied)
    assert part in str(caught.value)
    assert str(caught.value).isprintable()
    assert "another model" in str(caught.value)


def as_before_tasks(run: Path) -> None:
    """Rewrites a run as it was written before tasks had a section in its files."""

    def change(about: dict[str, Any]) -> None:
        task = about.pop("task")
        task["flip_tta"] = task.pop("tta") == "flip"
        about.update(schema=1, **{key: task[key] for key in ("classes", "train_images_per_class", "flip_tta")})

    rewritten(run, change)
    plan = json.loads((run / "plan.json").read_text())
    del plan["task"]
    (run / "plan.json").write_text(json.dumps(plan))


def test_runs_from_before_tasks_had_a_section(server: Server, home: Path, copied: Path) -> None:
    """They are evaluated, predicted with and reported as ever."""
    images = home / "more"

    def results() -> tuple[Any, Any, str]:
        evaluated = server.run("eval", copied, f"data.test=folder:{images}", "--json", cwd=home).json
        predicted = server.run("predict", copied, images, "--json", cwd=home).json
        assert server.run("report", copied, cwd=home, report=True).code == 0
        return {**evaluated, "seconds": 0}, predicted, (copied / "report.html").read_text()

    new = results()
    as_before_tasks(copied)
    assert results() == new
    assert open_model(copied)[1].task == open_model(home / "done")[1].task


def test_hostile_weights(copied: Path) -> None:
    from safetensors.torch import load, save

    weights = load((copied / "checkpoints" / "best" / "model.safetensors").read_bytes())
    weights["fc3.bias"][0] = float("nan")
    rewritten(copied, lambda about: None, save(weights))
    with pytest.raises(CheckpointError, match=r"fc3\.bias holds NaN"):
        open_model(copied)
    rewritten(copied, lambda about: None, b"\x80\x04pickle")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_model(copied)


def test_opening_a_model_moves_no_random_stream(copied: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    open_model(copied)
    assert torch.equal(torch.rand(3), expected)
