"""Ledger of a report: predicted and spent, by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fewer.report.history import history
from fewer.report.load import load
from fewer.report.sections.cost import ledger
from fewer.report.units import NBSP
from run_folders import Json


def page_of(root: Path, predicted: Json, spent: Json | None) -> str:
    (root / "plan.json").write_text(json.dumps({"predicted": predicted}))
    if spent is not None:
        (root / "result.json").write_text(json.dumps({"ledger": spent}))
    folder = load(root)
    return ledger(folder, history(folder)).replace(NBSP, " ")


def rows_of(html: str) -> dict[str, list[str]]:
    """The cells of each row of the tables, by its name."""
    return {
        name: re.findall(r"<td[^>]*>(.*?)</td>", cells)
        for name, cells in re.findall(r'<tr><th scope="row">([^<]*)</th>(.*?)</tr>', html)
    }


@pytest.mark.parametrize(
    ("low", "high", "spent", "cells"),
    [
        (5.0, 7.0, 6.0, ["5.0 – 7.0", "6.0", "within"]),
        (5.0, 5.0, 5.0, ["5.0", "5.0", "as predicted"]),
        (5.0, 8.0, 10.0, ["5.0 – 8.0", "10.0", "+25.0 %"]),
        (5.0, 8.0, 4.0, ["5.0 – 8.0", "4.0", "−20.0 %"]),
        (0.0, 0.0, 3.0, ["0.00", "3.0", "more"]),
    ],
)
def test_the_difference_is_that_to_the_nearer_bound(
    tmp_path: Path, low: float, high: float, spent: float, cells: list[str]
) -> None:
    key = "full_epoch_equivalents"
    rows = rows_of(page_of(tmp_path, {"low": {key: low}, "high": {key: high}}, {key: spent}))
    assert rows["full-epoch equivalents (FEE)"] == cells


def test_an_interval_names_its_unit_once(tmp_path: Path) -> None:
    rows = rows_of(page_of(tmp_path, {"low": {"flops": 6.1e12}, "high": {"flops": 8.9e12}}, None))
    assert rows["arithmetic"][0] == "6.10 – 8.90 TFLOP"
    rows = rows_of(page_of(tmp_path, {"low": {"flops": 6.1e9}, "high": {"flops": 8.9e12}}, None))
    assert rows["arithmetic"][0] == "6.10 GFLOP – 8.90 TFLOP"


def test_seconds_are_shared_out_among_the_phases(tmp_path: Path) -> None:
    seconds = {"train": 60.0, "data_wait": 20.0, "sync": 0, "other": 20.0, "total": 100}
    html = page_of(tmp_path, {}, {"seconds": seconds})
    assert rows_of(html)["seconds in all"] == ["–", "100 s", "–"]
    assert 'aria-label="train 60.0 %, data wait 20.0 %, other 20.0 %"' in html
    assert "sync" not in html


def test_without_numbers_there_is_no_section(tmp_path: Path) -> None:
    folder = load(tmp_path)
    assert ledger(folder, history(folder)) == ""


@pytest.mark.parametrize(("held", "shown"), [(5_000_000_000, True), (0, False)])
def test_memory_of_a_gpu_is_shown_where_there_is_one(tmp_path: Path, held: int, shown: bool) -> None:
    spent = {"peak_memory_bytes": 512_000_000, "peak_device_memory_bytes": held}
    rows = rows_of(page_of(tmp_path, {}, spent))
    assert "peak memory" in rows
    assert ("peak memory of the GPU" in rows) == shown
    assert not shown or "5.00 GB" in rows["peak memory of the GPU"]


def test_each_of_several_stages_has_its_ledger_beside_plain_training(tmp_path: Path) -> None:
    counts = {"samples_backpropagated": 4000, "optimizer_steps": 63, "seconds": {"total": 12.5}}
    ledgers = [{"flops": 150.0, **counts}, {"flops": 400.0, **counts}]
    stages = [{"first_epoch": 0, "epochs": 4, "side_px": 16}, {"first_epoch": 4, "epochs": 4, "side_px": 32}]
    costs = [{"low_flops": 100, "high_flops": 150, "plain_flops": 400}, {}]
    plan = {"stages": stages, "stage_costs": costs, "plain_epoch_flops": 100}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "result.json").write_text(json.dumps({"ledger": {"full_epoch_equivalents": 5.5, "stages": ledgers}}))
    folder = load(tmp_path)
    rows = rows_of(ledger(folder, history(folder)).replace(NBSP, " "))
    assert rows["1"] == ["1–4", "16 px", "1.00 – 1.50", "1.50", "4.00", "62.5 %", "4,000", "63", "12.5 s"]
    assert rows["2"] == ["5–8", "32 px", "–", "4.00", "–", "–", "4,000", "63", "12.5 s"]
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "stages": stages[:1]}))
    assert "<h3>Stages" not in ledger(load(tmp_path), history(folder))
