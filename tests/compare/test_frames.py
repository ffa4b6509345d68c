"""Tables of many runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import fewer
from fewer.core.errors import FewerError, RecipeError
from server import Ended
from small_comparison import results


def test_load_runs_is_one_table(compared: Ended, home: Path) -> None:
    frame = fewer.load_runs(home)
    assert len(frame) == 10
    assert list(frame.columns[:4]) == ["run", "digest", "seed", "status"]
    assert sorted(frame["status"].unique()) == ["done", "failed"]
    done = results(home)
    for _, line in frame[frame["status"] == "done"].iterrows():
        result = done[home / line["run"]]
        assert line["test/top1"] == result["metrics"]["test/top1"]
        assert line["full_epoch_equivalents"] == result["ledger"]["full_epoch_equivalents"]
        assert line["seconds"] == result["ledger"]["seconds"]["total"]
        assert line["digest"] == result["digest"]
    assert {"select.method", "select.cost", "train.epochs"} <= set(frame.columns)
    assert "model.width" not in frame.columns  # equal in all
    assert "select.threshold" not in frame.columns  # of one variant only
    assert frame[frame["status"] == "failed"]["test/top1"].isna().all()


def test_load_runs_per_epoch_and_per_step(compared: Ended, home: Path) -> None:
    epochs, steps = fewer.load_runs(home, per="epoch"), fewer.load_runs(home, per="step")
    (plain,) = {run for run in epochs["run"] if re.search(r"/plain-[0-9a-f]{10}/seed0", run)}
    mine = epochs[epochs["run"] == plain]
    assert list(mine["epoch"]) == [0, 1]
    assert list(mine["val_top1"].notna()) == [False, True]  # evaluated at its end only
    loss = steps[(steps["run"] == plain) & (steps["epoch"] == 1)]["loss"]
    assert len(loss) > 1
    assert mine["loss"].iloc[1] == pytest.approx(loss.mean(), rel=0.05)


def test_load_runs_reads_a_methods_first_name_as_todays(tmp_path: Path) -> None:
    for run, method in (("old", "everything"), ("new", "full"), ("other", "random")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "recipe.resolved.toml").write_text(f'[select]\nmethod = "{method}"\n')
    assert list(fewer.load_runs(tmp_path)["select.method"]) == ["full", "full", "random"]


def test_load_runs_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="no such folder"):
        fewer.load_runs(tmp_path / "none")
    with pytest.raises(RecipeError, match="holds no run folder"):
        fewer.load_runs(tmp_path)
    with pytest.raises(RecipeError, match=r'per = "epochs": .*"epoch"'):
        fewer.load_runs(tmp_path, per="epochs")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FewerError, match="pip install pandas"):
        fewer.load_runs(tmp_path)
