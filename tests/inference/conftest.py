"""A finished run on photos, for whatever uses its model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from photos import write_photos
from server import Ended, Server

RECIPE = """[data]
source = "folder:photos"
test = "30%"
val = "20%"

[model]
name = "lenet5"
width = 0.1

[task]
tta = "flip"

[train]
epochs = 3
batch_size = 16
lr = 0.05
precision = "bf16"
"""


@pytest.fixture(scope="session")
def home(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the finished run `done` on them, and `more` photos that it has not seen."""
    folder = tmp_path_factory.mktemp("verbs")
    torch.manual_seed(3)
    write_photos(folder / "photos", 40, width_px=30, height_px=24)
    write_photos(folder / "more", 35)
    (folder / "recipe.toml").write_text(RECIPE)
    ended = server.run("train", "recipe.toml", "--out", "done", cwd=folder)
    assert ended.code == 0, ended.stderr
    return folder


@pytest.fixture
def at_home(server: Server, home: Path) -> Callable[..., Ended]:
    """Runs `fewer ARGUMENTS` beside the finished run; for what changes nothing there."""
    return lambda *arguments: server.run(*arguments, cwd=home)


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A copy of the run, whose photos stay where they were."""
    return Path(shutil.copytree(home / "done", tmp_path / "done", symlinks=True))
