"""Wrong paths and keys are answered before torch is imported, and all of them at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import RECIPE
from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from server import Ended

# Each ends with an error before anything is read; the marks are parts of what it says.
WRONG: list[tuple[list[str], int, list[str]]] = [
    (["train", "nowhere.toml"], 2, ["nowhere.toml"]),
    (["train", "fine.toml", "train.lrr=1"], 2, ['did you mean "train.lr"']),
    (["train", "digits", "train.epoch=3"], 2, ['did you mean "train.epochs"']),
    (["plan", "folder:.", "train.epochs=no", "select.method=x"], 2, ["train.epochs", "unknown select.method"]),
    (["train", "absent.toml"], 3, ["data.source", "data.labels.csv", "model.weights", "does not exist"]),
    (["train", "fine.toml", "--out", "done"], 2, ["the run folder exists"]),
    (["plan", "absent.toml"], 3, ["data.source"]),
    (["compare", "absent.toml", "--vary", "train.lr=0.1,0.2"], 3, ["data.source"]),
    (["compare", "fine.toml", "--vary", "train.lrr=0.1,0.2"], 2, ["train.lrr"]),
    (["resume", "nowhere"], 2, ["not a run folder"]),
    (["resume", "done", "train.lr=3"], 2, ["keeps its train.lr"]),
    (["resume", "moved"], 3, ["data.source=PLACE"]),
    (["eval", "nowhere"], 2, ["no such folder"]),
    (["eval", "done", "train.lr=3"], 2, ["does not change train.lr"]),
    (["eval", "moved"], 3, ["data.source=PLACE", "data.test=folder:PATH"]),
    (["predict", "nowhere", "fine.toml"], 2, ["no such folder"]),
    (["predict", "done", "nowhere.png"], 3, ["nowhere.png: no such file"]),
    (["data", "check", "folder:nowhere"], 3, ["does not exist"]),
    (["data", "stats", "absent.toml"], 3, ["data.source", "does not exist"]),
    (["report", "nowhere"], 2, ["no such run folder"]),
    (["recipes", "photo-finetune"], 2, ['no recipe "photo-finetune"', 'did you mean "photos-finetune"']),
]

SCRIPT = """
import contextlib, io, json, sys
from fewer.cli import main
said = []
for arguments in json.load(sys.stdin):
    sys.argv, err = ["fewer", *arguments], io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code
    said.append([code, err.getvalue(), "torch" in sys.modules])
print(json.dumps(said))
"""


def test_wrong_paths_and_keys_are_answered_before_torch_is_imported(run: Callable[..., Ended], tmp_path: Path) -> None:
    """In one process, in turn: none of them may import it."""
    absent = RECIPE.replace('"digits"', '"folder:gone"\nlabels = { csv = "gone.csv", column = "label" }')
    (tmp_path / "absent.toml").write_text(absent.replace("width", 'weights = "gone.safetensors"\nwidth'))
    (tmp_path / "fine.toml").write_text(RECIPE)
    shutil.copytree(tmp_path / "done", tmp_path / "moved", symlinks=True)
    resolved = tmp_path / "moved" / "recipe.resolved.toml"
    resolved.write_text(resolved.read_text().replace('"digits"', '"folder:/nowhere/photos"'))
    (tmp_path / "moved" / "result.json").unlink()
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([arguments for arguments, _, _ in WRONG]),
        cwd=tmp_path,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    for (arguments, code, parts), (found, text, has_torch) in zip(WRONG, json.loads(ended.stdout), strict=True):
        assert (found, [part for part in parts if part not in text]) == (code, []), (arguments, text)
        assert not has_torch, arguments


def test_what_a_recipe_names_and_is_not_there_comes_with_its_other_problems(tmp_path: Path) -> None:
    content = {
        "data": {
            "source": "folder:gone",
            "test": "tar:gone.tar",
            "val": "7%",
            "labels": {"csv": "a.csv", "column": "y"},
        },
        "model": {"name": "lenet5", "weights": "gone.safetensors"},
        "train": {"lrr": 1, "epochs": -3},
    }
    with pytest.raises(RecipeError) as error:
        parse_recipe(content, base=tmp_path)
    lines = error.value.problems
    assert len(lines) == 6
    keys = ("train.lrr", "train.epochs", "data.source", "data.test", "data.labels.csv", "model.weights")
    assert all(any(key in line for line in lines) for key in keys), lines
    with pytest.raises(RecipeError, match=r"unknown data\.source") as error:
        parse_recipe({**content, "data": {"source": "folders:gone"}}, base=tmp_path)
    assert "folder:PATH" in str(error.value)
