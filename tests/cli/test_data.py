"""`fewer data` on the command line."""

from __future__ import annotations

from pathlib import Path

from server import Server
from zoo import encoded, picture, written


def test_people_see_groups_and_how_many_more(server: Server, tmp_path: Path) -> None:
    many = {f"{label}/{i}.png": encoded(picture(i + 100 * ord(label), mode="L")) for label in "ab" for i in range(6)}
    root = written(tmp_path / "grey", many)
    short = server.run("data", "check", "grey", "--processes", "0", cwd=tmp_path)
    assert short.code == 0, "infos alone are no reason to fail"
    assert "taken as folder:grey" in short.stderr
    assert "12 grey, palette or transparent" in short.stdout
    assert "... and 7 more" in short.stdout
    whole = server.run("data", "check", f"folder:{root}", "--all", "--processes", "0", cwd=tmp_path)
    assert whole.stdout.count(".png: grey") == 12
    missing = server.run("data", "check", "folder:none", cwd=tmp_path)
    assert missing.code == 3
    assert "does not exist" in missing.stderr


def test_stats_writes_json_and_page(server: Server, tmp_path: Path) -> None:
    written(tmp_path / "p", {f"{c}/{i}.png": encoded(picture(i + ord(c))) for c in "ab" for i in range(2)})
    ended = server.run("data", "stats", "p", "--json", "--html", "page.html", "--processes", "0", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert ended.json["splits"]["all"]["images"] == 4
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_inspection_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, fewer.cli; assert not {'torch', 'numpy', 'rich'} & set(sys.modules)\n"
        "import fewer.inspection.check, fewer.inspection.statistics_page\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
