"""`fewer resume` on the command line: what may change, and what may not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import images, photos
from server import Ended, Server, complains


def test_resume_on_other_data_names_the_difference(server: Server, tmp_path: Path) -> None:
    images(tmp_path / "photos")
    recipe = photos(tmp_path)
    assert server.run("train", recipe, "--out", "run", cwd=tmp_path).code == 0
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "photos" / "dark" / "extra.png").write_bytes((tmp_path / "photos" / "dark" / "03.png").read_bytes())
    complains(server.run("resume", "run", cwd=tmp_path), 3, "not the data", "extra.png")
    (tmp_path / "photos" / "dark" / "extra.png").unlink()
    (tmp_path / "photos" / "light" / "04.png").write_bytes((tmp_path / "photos" / "dark" / "03.png").read_bytes())
    complains(server.run("resume", "run", cwd=tmp_path), 3, "not the data", "light/04.png")
    shutil.rmtree(tmp_path / "photos")
    complains(server.run("resume", "run", cwd=tmp_path), 3, "photos does not exist")


def test_resume_of_a_finished_run_says_so(run: Callable[..., Ended], trained: Ended, tmp_path: Path) -> None:
    rows = (tmp_path / "done" / "rows.jsonl").read_bytes()
    ended = run("resume", "done", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json == trained.json
    assert "finished" in ended.stderr
    assert (tmp_path / "done" / "rows.jsonl").read_bytes() == rows


@pytest.mark.parametrize(
    "change",
    ["out.keep=1", "out.evaluate_every=0", "out.checkpoint_every='1step'", "data.processes=1", "data.cache='no'"],
)
def test_resume_takes_changes_that_do_not_change_the_result(
    run: Callable[..., Ended], trained: Ended, stopped: Path, change: str
) -> None:
    ended = run("resume", stopped.name, change, "--json")
    assert ended.code == 0, ended.stderr
    assert "resumed from epoch00001" in ended.stderr
    assert ended.json["state"] == trained.json["state"]


def test_resume_with_more_epochs_goes_on(run: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run("resume", "done", "train.epochs=3", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["epochs"] == 3
    rows = [json.loads(line) for line in (tmp_path / "done" / "rows.jsonl").read_text().splitlines()]
    (amendment,) = [row for row in rows if row["kind"] == "amendment"]
    assert (amendment["key"], amendment["old"], amendment["new"]) == ("train.epochs", 2, 3)
    complains(run("resume", "done", "train.epochs=1"), 2, "train.epochs = 1", "ask for more")


@pytest.mark.parametrize(
    ("change", "old"),
    [
        ("train.lr=0.1", "0.05"),
        ("train.seed=7", "0"),
        ("model.width=0.5", "0.25"),
        ("select.share=0.3", "0.2"),
        ("data.val='none'", "auto"),
        ("augment.flip='random'", "no"),
    ],
)
def test_resume_refuses_other_changes_with_the_difference(run: Callable[..., Ended], change: str, old: str) -> None:
    key, _, new = change.partition("=")
    complains(run("resume", "done", change), 2, key, old, new.strip("'"), "train.epochs may change", "fewer train")


def test_resume_refuses_stages_that_were_not_there(run: Callable[..., Ended]) -> None:
    """A changed plan is another run; only its length may grow."""
    complains(run("resume", "done", "stages=[{epochs=2, side_px=24}]"), 2, "stages")


def test_a_branch_goes_on_in_a_folder_of_its_own(run: Callable[..., Ended], trained: Ended, tmp_path: Path) -> None:
    before = (tmp_path / "done" / "rows.jsonl").read_bytes()
    same = run("branch", "done@1", "--json")
    assert same.code == 0, same.stderr
    assert same.json["state"] == trained.json["state"]
    assert same.json["origin"]["checkpoint"] == "epoch00001-batch0000000"
    assert (tmp_path / "done" / "rows.jsonl").read_bytes() == before
    complains(run("branch", "done@1", "model.width=0.3"), 2, "a branch keeps its trunk's model.width")
    complains(run("branch", "done@7"), 2, "no checkpoint epoch00007-batch0000000")
