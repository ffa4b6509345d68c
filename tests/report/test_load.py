"""Loading of a run folder, as long as it may be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from fewer.report.load import Rows, load


def test_steps_of_a_long_run_are_thinned_without_losing_spikes_or_other_rows() -> None:
    rows = Rows(limit=100)
    for step in range(10_000):
        rows.add({"kind": "step", "step": step, "loss": 99.0 if step == 4321 else 1 + step % 7})
        if step % 1000 == 999:
            rows.add({"kind": "epoch", "epoch": step // 1000})
    steps = [row["step"] for row in rows.kept if row["kind"] == "step"]
    assert len(steps) <= 101
    assert 4321 in steps
    assert steps == sorted(set(steps))
    assert [row["epoch"] for row in rows.kept if row["kind"] == "epoch"] == list(range(10))


def test_a_long_record_is_read_in_part_without_losing_spikes_other_rows_or_damage(tmp_path: Path) -> None:
    def line(**row: Any) -> str:
        return json.dumps(row, separators=(",", ":"), allow_nan=True) + "\n"

    count = 90_001
    with (tmp_path / "rows.jsonl").open("w") as file:
        for step in range(count):
            loss = {4321: 99.0, 54_322: -5.0, 7: math.nan, 8: None}.get(step, 1 + step % 7 / 7)
            file.write(line(kind="step", step=step, loss=loss, kept=9))
            if step % 1000 == 999:
                file.write(line(kind="epoch", epoch=step // 1000, loss=1.0))
            if step == 60_000:
                file.write('{"kind":"step","step":60000,"lo\n')
        file.write('{"kind":"step","step":90001,"loss":1')
    folder = load(tmp_path)
    steps = [row["step"] for row in folder.rows if row["kind"] == "step"]
    assert steps == sorted(set(steps))
    assert {4321, 54_322} <= set(steps)
    assert 10_000 < len(steps) <= 40_000
    assert [row["epoch"] for row in folder.rows if row["kind"] == "epoch"] == list(range(90))
    assert folder.problems == ["1 damaged line of rows.jsonl left out."]
