"""Fixtures of reports: one finished run folder and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer import report
from run_folders import build


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("runs") / "digits-dbpd", resume_at=4)


@pytest.fixture(scope="session")
def done_html(done: Path) -> str:
    return report.render(done)
