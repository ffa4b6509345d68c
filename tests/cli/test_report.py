"""`fewer report` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server import Ended, Server, complains


def test_report_is_drawn_anew(server: Server, run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "done" / "report.html").unlink()
    ended = server.run("report", "done", cwd=tmp_path, report=True)
    assert (ended.code, ended.stdout) == (0, "done/report.html\n")
    assert "<html" in (tmp_path / "done" / "report.html").read_text()
    for path in ("nowhere", "."):
        complains(server.run("report", path, cwd=tmp_path, report=True), 2, "run folder")
