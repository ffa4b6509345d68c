"""`fewer init` on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path

from server import Server, complains


def test_a_recipe_is_written_that_can_be_planned_at_once(server: Server, tmp_path: Path) -> None:
    asked = ("train.epochs=5", "model.name=lenet5", "train.lr=0.05", "--no-probe")
    made = server.run("init", "digits", *asked, "--recipe", "progressive", cwd=tmp_path)
    assert made.code == 0
    assert "cifar-progressive, for 1,797 images of 8 px in 10 classes:" in made.stderr
    assert "train.batch_size 1024 → 64" in made.stderr
    assert "takes: not timed" in made.stderr
    content = tomllib.loads(made.stdout)
    assert [stage["epochs"] for stage in content["stages"]] == [2, 1, 2]
    assert content["model"]["name"] == "lenet5"
    (tmp_path / "mine.toml").write_text(made.stdout)
    planned = server.run("plan", "mine.toml", "--no-probe", cwd=tmp_path)
    assert "epochs 1 to 2: 22 px, batches of 64" in planned.stdout


def test_without_a_name_it_is_the_choice_of_the_one_line(server: Server, tmp_path: Path) -> None:
    made = server.run("init", "digits", "train.epochs=3", "--no-probe", cwd=tmp_path)
    assert made.code == 0
    assert "chosen: tiny-standard" in made.stderr
    assert tomllib.loads(made.stdout)["train"]["epochs"] == 3


def test_what_is_no_source_and_what_is_no_recipe_are_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    complains(server.run("init", "mine.toml", cwd=tmp_path), 2, "a recipe already", "fewer plan mine.toml")
    complains(server.run("init", "nowhere", cwd=tmp_path), 2, "no such file or folder", "folder:PATH")
    wrong = server.run("init", "digits", "--recipe", "progresive", cwd=tmp_path)
    complains(wrong, 2, 'did you mean "progressive"')
