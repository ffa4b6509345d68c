"""`fewer data store` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_files import write_photo
from server import Server, complains

RECIPE = """\
data = { source = "folder:photos", test = "none", val = "none" }
augment.crop = "random_resized"
model = { name = "lenet5", width = 0.1 }
train.batch_size = 4
stages = [{ epochs = 1, side_px = 16 }]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("home")
    for number in range(4):
        write_photo(root / "photos" / "ab"[number % 2] / f"{number}.jpg", 90, 70)
    (root / "r.toml").write_text(RECIPE)
    return root


def test_a_recipe_says_how_large_and_its_plan_finds_the_store(server: Server, home: Path) -> None:
    keep = {"XDG_CACHE_HOME": str(home / "cache")}
    first = server.run("data", "store", "r.toml", "--json", cwd=home, env=keep)
    assert first.code == 0, first.stderr
    told = first.json
    assert (told["side_px"], told["form"], told["images"], told["decoded"], told["damaged"]) == (32, "raw", 4, 4, 0)
    assert Path(told["path"]).stat().st_size == told["bytes"]
    again = server.run("data", "store", "r.toml", cwd=home, env=keep)
    assert "4 images of folder:" in again.stdout
    assert "there already" in again.stdout
    plan = server.run("plan", "r.toml", "--no-probe", cwd=home, env=keep)
    assert f"training images come from the store {told['path']}" in plan.stdout
    other = server.run("data", "store", "photos", "--side", "24", "--format", "jpeg", "--out", "s.pictures", cwd=home)
    assert other.code == 0, other.stderr
    assert f'data.store = "{home / "s.pictures"}" uses it' in other.stdout


def test_wrong_calls_say_what_is_right(server: Server, home: Path) -> None:
    complains(server.run("data", "store", "photos", cwd=home), 2, "fix: --side PX")
    complains(server.run("data", "store", "nothing", "--side", "20", cwd=home), 2, "nothing: no such file or folder")
    complains(server.run("data", "store", "r.toml", "--max-size", "2", cwd=home), 2, '--max-size "2"', "500MB or 2GB")
    small = server.run("data", "store", "r.toml", "--max-size", "1KB", "--out", "t.pictures", cwd=home)
    complains(small, 6, "needs about", "--max-size allows 0.0 MB")
    (home / "file").write_text("")
    complains(server.run("data", "store", "r.toml", "--out", "file/t.pictures", cwd=home), 6, "cannot be written")
    complains(server.run("plan", "r.toml", "data.store=gone", cwd=home), 3, "gone does not exist")
