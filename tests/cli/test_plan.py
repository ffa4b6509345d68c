"""`fewer plan` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server import Ended, Server, complains


def test_plan_trains_nothing(run: Callable[..., Ended], trained: Ended, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    shown, document = run("plan", "good.toml", "--no-probe"), run("plan", "good.toml", "train.epochs=3", "--json")
    assert (shown.code, shown.stderr) == (0, "")
    assert "epochs 1 to 2: 32 px, batches of 64, learning rate" in shown.stdout
    assert "full-epoch equivalents (FEE), 20% of training on every image in every epoch" in shown.stdout
    assert "10 classes: 0 " in shown.stdout
    assert "minute" not in shown.stdout
    assert trained.json["digest"] not in shown.stdout
    assert document.json["outlook"]["seconds"][0] > 0
    assert document.json["outlook"]["memory_bytes"] > 1e7
    everything = run("plan", "good.toml", "--all")
    assert "time: less than a minute on this machine" in everything.stdout
    assert "samples_backpropagated" in everything.stdout
    assert trained.json["digest"] in everything.stdout
    assert document.json["epochs"] == 3
    assert document.json["predicted"]["low"]["effective_epochs"] == pytest.approx(0.6, abs=0.01)
    assert sorted(tmp_path.rglob("*")) == before


def test_all_errors_come_at_once(server: Server, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[model]\nname = "cnm"\n[train]\nepoch = 3\nlr = -1\n[[stages]]\nsides = 3\n')
    ended = server.run("plan", "bad.toml", "train.seed=x", cwd=tmp_path)
    complains(ended, 2, '"data" is missing', "bad.toml:2:", "bad.toml:4:", "bad.toml:5:", "bad.toml:7:")
    complains(ended, 2, 'argument "train.seed=x"', '"stages.0.epochs" is missing', '"stages.0.sides"')
    assert len(ended.stderr.splitlines()) == 7
