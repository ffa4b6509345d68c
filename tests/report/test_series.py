"""Series by class."""

from __future__ import annotations

import json
from pathlib import Path

from dense_runs import dense_run
from fewer import report
from fewer.report.history import history
from fewer.report.load import load
from fewer.report.series import class_charts
from run_folders import build


def test_series_by_class_are_drawn(tmp_path: Path) -> None:
    """Two classes of known series: both lines, their mean, and the names where they end."""
    folder = build(tmp_path / "run", epochs=3, steps=2, classes=["cat", "dog"])
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    told = iter([[10, 30], [20, 20], [40, 0]])
    for row in rows:
        if row["kind"] == "epoch":
            row["series"] = {"quota_per_class": next(told), "odd <b>": ["x", None]}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = load(folder)
    (chart,) = class_charts(read, history(read))
    (panel,) = chart.panels
    assert panel.name == "quota by class"
    assert [line for _, line in panel.lines] == [
        [(1, 10), (2, 20), (3, 40)],
        [(1, 30), (2, 20), (3, 0)],
        [(1, 20), (2, 20), (3, 20)],
    ]
    assert list(panel.labels) == [(3, 40, "cat", "above"), (3, 0, "dog", "below")]
    assert "quota by class" in report.render(folder)


def test_groups_beside_the_classes_have_their_names(tmp_path: Path) -> None:
    """Detection has one of images without objects."""
    folder = dense_run(tmp_path / "run", "detect", classes=1)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        if row["kind"] == "epoch":
            row["series"] = {"quota_per_class": [row["epoch"], 5 - row["epoch"]]}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "no objects" in report.render(folder)
