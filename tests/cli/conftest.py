"""Fixtures of the command line: one finished run, and copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import RECIPE, images
from server import Ended, Server


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "good.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def trained(server: Server, home: Path) -> Ended:
    """`fewer train --json`, with its report; the run folder is `done`."""
    return server.run("train", "good.toml", "--out", "done", "--json", cwd=home, report=True)


@pytest.fixture
def stopped(run: Callable[..., Ended], tmp_path: Path) -> Path:
    """The run as it was after its first epoch."""
    (tmp_path / "done" / "result.json").unlink()
    shutil.rmtree(tmp_path / "done" / "checkpoints" / "epoch00002-batch0000000")
    return tmp_path / "done"


@pytest.fixture
def run(server: Server, home: Path, tmp_path: Path, trained: Ended) -> Callable[..., Ended]:
    """Runs `fewer ARGUMENTS` in a folder that holds `good.toml` and the finished run `done`."""
    shutil.copy(home / "good.toml", tmp_path)
    shutil.copytree(home / "done", tmp_path / "done", symlinks=True)
    return lambda *arguments: server.run(*arguments, cwd=tmp_path)


@pytest.fixture
def damaged(tmp_path: Path) -> list[str]:
    """Photos of which three are damaged; their names."""
    root = images(tmp_path / "photos")
    whole = (root / "dark" / "01.png").read_bytes()
    bad = {"dark/02.png": b"", "dark/05.png": whole[: len(whole) // 2], "light/07.png": b"no image at all"}
    for name, content in bad.items():
        (root / name).write_bytes(content)
    return list(bad)
