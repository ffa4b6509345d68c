"""Fixtures of comparisons: one small comparison, trained once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server import Ended, Server
from small_comparison import ASKED, RECIPE, VARIANTS


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "variants.toml").write_text(VARIANTS)
    return folder


@pytest.fixture(scope="session")
def compared(server: Server, home: Path) -> Ended:
    """Two seeds of plain training, two budgets, `random` and a variant that keeps nothing: ten runs in `cmp`."""
    ended = server.run(*ASKED, cwd=home)
    assert ended.code == 0, ended.stderr
    return ended


@pytest.fixture(scope="session")
def summary(compared: Ended, home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "cmp" / "compare.json").read_text())
    return found
