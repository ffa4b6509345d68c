"""Curves of a run."""

from __future__ import annotations

import json
from pathlib import Path

from fewer.report.history import history
from fewer.report.load import load
from fewer.report.sections.curves import schedule
from run_folders import build


def test_plain_run_shows_no_kept_share(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {"kept_share": 1.0} if row["kind"] == "epoch" else {"kept": 128} if row["kind"] == "step" else {}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = load(folder)
    assert "kept share, %" not in schedule(read, history(read))
