"""Overview of many run folders, whole ones and broken ones."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dense_runs import dense_run
from fewer.cli import app
from fewer.report.overview import RunSummary, summaries, summary


def run_folder(path: Path, **files: Any) -> Path:
    path.mkdir(parents=True)
    (path / "recipe.resolved.toml").touch()
    for name, content in files.items():
        (path / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return path


LEDGER = {"full_epoch_equivalents": 1.5, "seconds": {"total": 12.0, "train": 10.0}}
DONE = {"epochs": 2, "metrics": {"val/top1": 0.7, "test/top1": 0.8}, "ledger": LEDGER}


def test_a_finished_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a", result=DONE, status={"state": "done", "epoch": 2}, plan={"epochs": 2})
    os.utime(folder / "status.json", (1000, 1000))
    found = summary(folder)
    assert found == RunSummary(str(folder), "done", "test/top1", 0.8, 2, 2, 1.5, 12.0, 1000.0, "top-1")
    assert found.text == "test top-1 80.00%"


def test_a_metric_has_the_name_that_its_task_gives_it(tmp_path: Path) -> None:
    assert summary(dense_run(tmp_path / "a", "segment")).text == "test mIoU 43.12%"
    assert summary(dense_run(tmp_path / "b", "detect", split="val")).text == "val AP 43.12%"


def test_a_run_without_test_images_and_one_without_metrics(tmp_path: Path) -> None:
    val = run_folder(tmp_path / "a", result={**DONE, "metrics": {"val/top1": 0.7}})
    none = run_folder(tmp_path / "b", result={**DONE, "metrics": {}})
    assert (summary(val).metric, summary(val).value, summary(val).state) == ("val/top1", 0.7, "done")
    assert (summary(none).metric, summary(none).text) == (None, "")


def test_an_unfinished_run_says_how_far_it_came_and_what_it_cost(tmp_path: Path) -> None:
    best = {"epoch": 3, "metric": "val/top1", "value": 0.6}
    folder = run_folder(tmp_path / "a", status={"state": "running", "epoch": 4, "best": best}, plan={"epochs": 9})
    rows = [{"kind": "step", "fee": 1.0, "seconds": 5.0}, {"kind": "step", "fee": 3.5, "seconds": 40.0}, {"kind": "x"}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "step", "fee": 9')
    found = summary(folder)
    assert (found.metric, found.value, found.epochs, found.planned_epochs) == ("val/top1", 0.6, 4, 9)
    assert (found.full_epoch_equivalents, found.seconds) == (3.5, 40.0)
    assert found.state == "killed", "nobody holds the folder"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert summary(folder).state == "running"


@pytest.mark.parametrize("name", ["status", "result", "plan"])
@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"ledger": 3, "state": [], "epochs": "x", "metrics": [1]}'])
def test_broken_files_leave_numbers_out_and_end_nothing(tmp_path: Path, name: str, content: str) -> None:
    run_folder(tmp_path / "broken", **{name: content})
    run_folder(tmp_path / "done", result=DONE)
    states = {Path(run.run).name: run.state for run in summaries(tmp_path)}
    assert states["done"] == "done"
    assert states["broken"] in ("unknown", "done")


def test_a_row_that_is_no_row_is_passed_over(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a")
    (folder / "rows.jsonl").write_bytes(b'{"fee": 2.0, "seconds": 1}\n\xff\xfe\n[' + b"[" * 100_000 + b"\n")
    assert summary(folder).full_epoch_equivalents is None  # behind the tail
    (folder / "rows.jsonl").write_bytes(b'{"fee": 2.0, "seconds": 1}\n\xff\xfe\n[[[[\n')
    assert summary(folder).full_epoch_equivalents == 2.0


def test_the_verb_prints_a_table_or_json(tmp_path: Path) -> None:
    run_folder(tmp_path / "old" / "seed0", result=DONE, status={"state": "failed\u001b[2J"})
    run_folder(tmp_path / "new", status={"state": "interrupted", "epoch": 1}, plan={"epochs": 3})
    os.utime(tmp_path / "old" / "seed0" / "status.json", (0, 0))
    shown = CliRunner().invoke(app, ["runs", str(tmp_path)]).stdout
    head, first, last = shown.splitlines()
    assert head.split() == ["run", "state", "metric", "epochs", "FEE", "time", "when"]
    assert first.split()[:1] == [str(tmp_path / "old" / "seed0")]
    assert "test top-1 80.00%" in first
    assert " 2/2 " in first
    assert " 12.0 s " in first
    assert "\x1b" not in shown
    assert " interrupted " in last
    assert " 1/3 " in last
    listed = json.loads(CliRunner().invoke(app, ["runs", str(tmp_path), "--json"]).stdout)
    assert [run["value"] for run in listed["runs"]] == [0.8, None]
    assert "no such folder" in str(CliRunner().invoke(app, ["runs", str(tmp_path / "none")]).exception)
    (tmp_path / "empty").mkdir()
    assert "no runs here" in CliRunner().invoke(app, ["runs", str(tmp_path / "empty")]).stdout
