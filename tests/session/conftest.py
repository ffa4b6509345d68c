"""Fixtures of sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drawings import drawings
from fewer import report
from fewer.recipe.parse import parse_recipe
from fewer.session.fit import fit
from fewer.testing.harness import one_thread
from shown_runs import ALL, Curious, content


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and result of a run that draws pictures behind every batch, and plots behind every epoch."""
    folder = tmp_path_factory.mktemp("shown") / "run"
    display = Curious(folder.with_name("seen"))
    with one_thread(), drawings(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.Budget, "allows", lambda *_: True)
        return folder, fit(parse_recipe(content(**ALL)), folder, display=display)
