"""The report as a file: written whole or not at all, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fewer import report
from fewer.core.errors import RecipeError, ResourceError
from run_folders import build


def test_two_renders_are_equal(done: Path, done_html: str) -> None:
    assert report.render(done) == done_html


def test_write_replaces_the_page_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2)
    (folder / "rows.jsonl").unlink()
    path = report.write(folder)
    assert path == folder / "report.html"
    assert path.read_text(encoding="utf-8") == report.render(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    before = sorted(folder.iterdir())
    with pytest.raises(ResourceError, match="No space left"):
        report.write(folder)
    assert sorted(folder.iterdir()) == before


def test_write_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such run folder"):
        report.write(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="not a run folder"):
        report.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_needs_no_torch_and_no_pyplot(done: Path) -> None:
    code = (
        "import sys, pathlib\nfrom fewer import report\n"
        "assert not {'matplotlib', 'numpy'} & set(sys.modules), 'matplotlib is to be imported when drawing'\n"
        f"report.render(pathlib.Path({str(done)!r}))\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
