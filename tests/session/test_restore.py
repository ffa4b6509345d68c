"""What a resumed run begins with may be anything: what is no state of the run is a checkpoint error."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fewer import fit, parse_recipe, resume
from fewer.core.errors import CheckpointError
from fewer.runs.record import read_object
from fewer.testing.harness import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with one checkpoint behind its first epoch, and no result."""
    folder = tmp_path_factory.mktemp("restore") / "run"
    content = {
        "data": {"source": "digits", "test": "none", "val": "5%", "subset": 60},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 30, "lr": 0.05},
        "select": {"method": "random", "share": 0.5},
        "stages": [{"epochs": 2, "side_px": 16}],
        "out": {"plots": False, "previews": False, "keep": 9},
    }
    fit(parse_recipe(content), folder)
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "epoch00002-batch0000000")
    return folder


def altered(run: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> None:
    """Changes a checkpoint, and makes its manifest agree."""
    (folder,) = (run / "checkpoints").glob("epoch*")
    values, tensors = json.loads((folder / "state.json").read_text()), load_file(folder / "state.safetensors")
    change(values, tensors)
    (folder / "state.json").write_text(json.dumps(values))
    save_file(tensors, folder / "state.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        entry["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda values, tensors: values["cursor"].update(step=math.nan),
        lambda values, tensors: values["cursor"].update(epoch=0.5),
        lambda values, tensors: values["cursor"].update(batch=-1),
        lambda values, tensors: values["cursor"].update(batch=True),
        lambda values, tensors: values["cursor"].update(batch=1),  # without an order: no batch would ever come
        lambda values, tensors: values.pop("cursor"),
        lambda values, tensors: values.update(cursor=[]),
        lambda values, tensors: values.update(best={"epoch": "0"}),
        lambda values, tensors: values["best"].update(model="../../elsewhere"),
        lambda values, tensors: values.update(amendments={"train.compile": 3}),
        lambda values, tensors: values["ledger"].update(local=7),
        lambda values, tensors: values["ledger"]["exact"][0].update(flops="many"),
        lambda values, tensors: values["ledger"]["seconds"][0].update(other=math.nan),
        lambda values, tensors: values.pop("selection"),
        lambda values, tensors: values["selection"].update(packed="two"),
        lambda values, tensors: tensors.pop(next(name for name in tensors if name.startswith("workers"))),
        lambda values, tensors: tensors.update({name: value[:1].clone() for name, value in tensors.items()}),
        lambda values, tensors: tensors.clear(),
    ],
)
def test_a_state_of_foreign_content_is_a_checkpoint_error(done: Path, tmp_path: Path, change: Any) -> None:
    run = Path(shutil.copytree(done, tmp_path / "run", symlinks=True))
    altered(run, change)
    with pytest.raises(CheckpointError, match="epoch00001-batch0000000"):
        resume(run)
    assert read_object(run / "checkpoints" / "epoch00001-batch0000000" / "manifest.json"), "nothing is removed"


@pytest.mark.parametrize("text", ["[]", "null", '"text"', "[" * 5000])
def test_files_beside_the_checkpoints_may_be_anything(done: Path, tmp_path: Path, text: str) -> None:
    run = Path(shutil.copytree(done, tmp_path / "run", symlinks=True))
    for name in ("env.json", "status.json", "plan.json", "result.json"):
        (run / name).write_text(text)
    with (run / "rows.jsonl").open("a") as file:
        file.write('{"kind":"step","epoch":"1","batch":null}\n{"kind":"epoch","epoch":[]}\n[]\n')
    assert resume(run)["epochs"] == 2
    assert "env.json cannot be read" in (run / "log.txt").read_text()
