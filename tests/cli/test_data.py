"""`fewer data` on the command line."""

from __future__ import annotations

from pathlib import Path

from server import Server, complains
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


def test_a_split_can_be_trained_on_at_once(server: Server, tmp_path: Path) -> None:
    written(tmp_path / "p", {f"{c}/{i}.png": encoded(picture(i + 20 * ord(c))) for c in "ab" for i in range(10)})
    options = ("--fractions", "train=0.6,val=0.2,test=0.2", "--as", "lists", "--processes", "0")
    ended = server.run("data", "split", "p", *options, "--out", "s", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert "train         12 images  60.00%  2 of 2 classes" in ended.stdout
    assert f"train on it: `fewer train lists:{tmp_path}/s`" in ended.stdout
    told = server.run("data", "split", "p", *options, "--out", "again", "--json", cwd=tmp_path).json
    assert told["images"] == {"train": 12, "val": 4, "test": 4}
    (tmp_path / "r.toml").write_text(
        'data.source = "s"\nmodel = { name = "lenet5", width = 0.1 }\n'
        "stages = [{ epochs = 1, side_px = 16, batch_size = 4 }]\n"
    )
    trained = server.run("train", "r.toml", "--out", "run", "data.processes=1", "data.in_memory=no", cwd=tmp_path)
    assert trained.code == 0, trained.stderr
    (tmp_path / "s" / "train.csv").write_text("file,class\nb/1.png,a\n")
    complains(server.run("plan", "s", cwd=tmp_path), 3, "is of class 'b' there, not 'a'")


def test_a_wrong_split_says_what_is_right(server: Server, tmp_path: Path) -> None:
    both = ("--fractions", "train=1", "--counts", "train=1")
    complains(server.run("data", "split", "p", "--out", "s", cwd=tmp_path), 2, "neither is given; fix:")
    complains(server.run("data", "split", "p", "--out", "s", *both, cwd=tmp_path), 2, "both are given; fix:")
    missing = server.run("data", "split", "p", "--out", "s", "--counts", "train=1,val=1", cwd=tmp_path)
    complains(missing, 3, "p: no such file or folder")
