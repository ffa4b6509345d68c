"""`log.txt` and `metrics.csv` of a run: what an epoch says, and how the log ends."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from fewer.core.evaluation import interval
from fewer.runs.record import read_json


def test_an_epoch_names_every_metric_and_the_rates(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = shown
    words = [line for line in (folder / "log.txt").read_text().splitlines() if "epoch   1/3" in line]
    assert len(words) == 1
    for name in ("loss", "train top-1", "val top-1", "val macro-F1", "val loss", "lr", "momentum 0.9", "EE", "FEE"):
        assert f"  {name} " in f"{words[0]} ", name
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["val_macro_f1"] and row["val_loss"]) for row in rows] == [True] * 3


def test_the_log_begins_with_the_run_and_ends_with_best_last_test_and_total(
    shown: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = shown
    lines = [line.partition("Z  ")[2] for line in (folder / "log.txt").read_text().splitlines()]
    assert lines[0] == f"{folder}: lenet5 on cpu, trained on digits"
    first_stage, second_stage, best, last, test, total = lines[-6:]
    spent = [
        stage["flops"] / read_json(folder / "plan.json")["plain_epoch_flops"] for stage in result["ledger"]["stages"]
    ]
    assert first_stage.startswith(f"stage 1: epoch 1 at 16 px, {spent[0]:.2f} FEE (plain training 1.00), ")
    assert second_stage.startswith(f"stage 2: epochs 2 to 3 at 20 px, {spent[1]:.2f} FEE (plain training 2.00), ")
    assert best.startswith(f"best: epoch {result['best']['epoch'] + 1}, val top-1 {result['best']['value']:.2%}")
    assert last.startswith("last: epoch 3, loss ")
    assert "val macro-F1" in last
    assert f"macro-F1 {result['metrics']['test/macro_f1']:.2%}" in test
    assert total.startswith(f"total: {result['ledger']['seconds']['total']:.0f} s")
    assert total.endswith(" EE")


def test_the_result_says_how_exactly_its_accuracy_is_known(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, result = shown
    assert {"test/top1", "test/top5", "val/top1"} <= result["intervals"].keys() <= result["metrics"].keys()
    images = read_json(folder / "plan.json")["test_images"]
    assert result["intervals"]["test/top1"] == list(interval(result["metrics"]["test/top1"], images))
