"""Plots as SVG: labelled, described, with whole tick labels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fewer.report.charts import Chart, Numbers, Panel, Spot
from fewer.report.history import history
from fewer.report.load import load
from fewer.report.plots import PAGE, _drawn
from fewer.report.sections.curves import schedule
from run_folders import DIGITS, plan_document


def test_every_plot_speaks(done_html: str) -> None:
    plots = re.findall(r'<svg class="plot".*?</svg>', done_html, re.DOTALL)
    assert len(plots) == 7  # loss and top-1 three times, learning rate, kept share, speed, kept share by class
    for drawing in plots:
        assert 'role="img"' in drawing
        assert "<title>" in drawing
        assert "<desc>" in drawing
        assert "#0101" not in drawing
        assert "#0102" not in drawing
        assert "DejaVu" not in drawing, re.findall(".{40}DejaVu.{40}", drawing)
        assert "<metadata" not in drawing


def test_a_spot_and_its_number_have_room_at_the_edge() -> None:
    spots = [Spot("plain", 8.3, 0.2, 0.1, 0.3), Spot("variant", 9.9, 0.1, 0.0, 0.2, "1")]
    chart = Chart("c", [Panel("AP, %", spots=spots)], "seconds", "", Numbers((), (), 0, ""))
    with _drawn(chart, PAGE, lambda variable: "#123456") as figure:
        left, right = figure.axes[0].get_xlim()
    assert left == 0
    assert right > 1.05 * 9.9


@pytest.mark.parametrize(
    ("lr", "labels"), [(0.1, {"0.025", "0.050", "0.075"}), (0.001, {"2.5e-4", "5e-4", "7.5e-4", "1e-3"})]
)
def test_labels_of_ticks_are_not_cut(tmp_path: Path, lr: float, labels: set[str]) -> None:
    rows = [{"kind": "step", "epoch": 0, "step": i, "progress": i / 9, "lr": lr * i / 8} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "plan.json").write_text(json.dumps(plan_document(1, DIGITS)))
    folder = load(tmp_path)
    shown = re.findall(r">([\d.e-]+)</text>", schedule(folder, history(folder)))
    assert labels <= set(shown)
