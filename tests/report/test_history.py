"""History of a run: one line of time across resumes, extensions and stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewer.report.history import history
from fewer.report.load import load
from fewer.report.page import events
from run_folders import DIGITS, build, plan_document, row_lines


def test_rows_that_a_resume_took_back_are_left_out(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=4, result=False)
    rows = row_lines(2, 4, 10)
    lost, redone = rows[:8], rows[5:]  # steps 5.. are repeated after a kill; the log holds both
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*lost, {"kind": "resume", "step": 4}, *redone])
    )
    story = history(load(folder))
    assert [mark.row["step"] for mark in story.steps] == list(range(1, 9))
    assert [mark.row["epoch"] for mark in story.epochs] == [0, 1]


def test_an_extended_run_keeps_its_clock(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2, result=False)
    more = [{"kind": "amendment", "key": "train.epochs", "old": 2, "new": 4},
            {"kind": "step", "epoch": 2, "batch": 0, "step": 5, "progress": 2.5 / 4, "loss": 0.1}]  # fmt: skip
    with (folder / "rows.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in more)
    read = load(folder)
    assert [mark.epochs for mark in history(read).steps] == pytest.approx([0.5, 1, 1.5, 2, 2.5])
    assert "<code>train.epochs</code> from 2 to 4" in events(read, history(read))


def test_a_running_stage_ends_where_the_run_stands(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=3, steps=2, state="running", result=False)
    (folder / "plan.json").write_text(json.dumps(plan_document(10, DIGITS)))
    read = load(folder)
    assert history(read).stages(read.plan, "epochs") == [(0, 3, "24 px")]
