"""Plots as SVG: labelled, described, with whole tick labels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fewer.report.history import history
from fewer.report.load import load
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
