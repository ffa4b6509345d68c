"""`fewer tune` on the command line."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from server import Server, complains

RECIPE = """[data]
source = "digits"
subset = 90
val = "5%"
[model]
name = "lenet5"
width = 0.1
[train]
epochs = 1
batch_size = 45
side_px = 16
[search]
train.lr = [0.05, 0.1]
"""


def test_a_search_prints_its_best_and_what_it_cost(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    ended = server.run("tune", "small.toml", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert "train.lr: 0.05,0.1\n" in ended.stderr
    assert "2 trials (grid) of about 1 FEE, 2 in all at most" in ended.stderr
    assert "2 done; 2 FEE and" in ended.stdout
    assert "The best of 2 by the 70 images that chose it" in ended.stdout
    assert "`fewer train runs/small-tune/best.toml`" in ended.stdout
    again = server.run("tune", "small.toml", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["full_epoch_equivalents"] == 2.0
    plan = server.run("plan", "small.toml", cwd=tmp_path)
    assert "[search] is for `fewer tune`" in plan.stdout + plan.stderr


def test_a_best_trial_of_another_folder_is_not_named_as_if_it_were_here(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    shared = ("tune", "small.toml", "--storage", f"sqlite:///{tmp_path / 'study.db'}", "--study", "small")
    first = server.run(*shared, "--out", "a", cwd=tmp_path)
    assert "`fewer eval a/trials/000" in first.stdout, first.stderr
    other = server.run(*shared, "--out", "b", cwd=tmp_path)
    assert "fewer eval" not in other.stdout
    assert f"was trained on {socket.gethostname()}, in another folder than b; `fewer train b/best.toml`" in other.stdout


def test_wrong_searches_end_with_2(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    ended = server.run("tune", "small.toml", "--search", "train.lrr=1,2", "--search", "train.lr=log:0..1", cwd=tmp_path)
    complains(ended, 2, "log:0..1", "begins above 0")
    complains(server.run("tune", "small.toml", "data.val=none", cwd=tmp_path), 2, "settings are chosen by validation")
    assert not (tmp_path / "runs").exists()
