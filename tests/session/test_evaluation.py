"""Evaluations of a run: every image once, each stage at its own side, the best at one side, statistics that fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.inference.evaluate import evaluate
from fewer.runs.record import read_json, read_rows
from fewer.session.fit import fit
from fewer.testing.harness import one_thread

DATA = {"source": "digits", "test": "20%", "val": "20%"}
STAGES = [{"epochs": 3, "side_px": 16}, {"epochs": 2, "side_px": 32}]
OUT = {"plots": False, "previews": False}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def run_of(folder: Path, **sections: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    content = {
        "data": DATA,
        "model": {"name": "cnn", "width": 0.25},
        "train": {"batch_size": 64, "lr": 0.2, "precision": "fp32"},
        "out": OUT,
        **sections,
    }
    result = fit(parse_recipe(content), folder)
    return result, [row for row in read_rows(folder / "rows.jsonl") if row["kind"] == "evaluation"]


@pytest.fixture(scope="module")
def progressive(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    folder = tmp_path_factory.mktemp("progressive") / "run"
    return *run_of(folder, stages=STAGES), folder


def test_each_stage_is_validated_at_its_own_side(progressive: Any) -> None:
    """At the last stage's side, as it was once, the models of the first show 17 to 22 %."""
    _, rows, _ = progressive
    curve = [row for row in rows if row["split"] == "val"]
    assert [row["side_px"] for row in curve] == [16, 16, 16, 32, 32]
    assert all(row["scalars"]["top1"] > 0.5 for row in curve[:3]), [row["scalars"]["top1"] for row in curve]


def test_the_best_is_chosen_among_models_of_one_side(progressive: Any) -> None:
    result, rows, folder = progressive
    assert result["best"]["epoch"] >= 3
    curve = {row["epoch"]: row["scalars"]["top1"] for row in rows if row["split"] == "val" and row["side_px"] == 32}
    assert result["best"]["value"] == max(curve.values())
    assert read_json(folder / "checkpoints" / "best" / "model.json")["side_px"] == 32


def test_predicted_decoding_counts_every_side(progressive: Any) -> None:
    result, _, _ = progressive
    assert result["predicted"]["samples_decoded"] == result["ledger"]["samples_decoded"]


def test_a_plain_run_that_is_evaluated_at_another_side_gets_statistics_of_that_side(tmp_path: Path) -> None:
    """The model is trained at 16 px alone and judged at 32 px: with training's statistics it guesses."""
    stages = [{"epochs": 3, "side_px": 16, "evaluation_side_px": 32}]
    result, rows = run_of(tmp_path / "run", stages=stages)
    assert {row["side_px"] for row in rows} == {32}
    assert result["best"]["batchnorm_images"] > 0
    forwards = result["ledger"]["samples_forwarded"] - result["ledger"]["samples_backpropagated"]
    assert forwards == result["best"]["batchnorm_images"]
    assert result["predicted"]["flops"] == result["ledger"]["flops"]


def test_a_process_that_simulates_four_workers_evaluates_every_image(tmp_path: Path) -> None:
    result, rows = run_of(tmp_path / "run", train={"epochs": 1, "batch_size": 64, "lr": 0.1}, sync={"workers": 4})
    images = read_json(tmp_path / "run" / "plan.json")
    assert len(rows) == 3
    confusion = result["tables"]["test/confusion"]
    assert sum(map(sum, confusion)) == images["test_images"]
    assert result["ledger"]["samples_evaluated"] == 2 * images["val_images"] + images["test_images"]


def test_the_best_may_be_chosen_by_a_metric_that_is_better_when_lower(tmp_path: Path) -> None:
    result, rows = run_of(
        tmp_path / "run",
        train={"epochs": 4, "batch_size": 64, "lr": 0.3, "schedule": "constant"},
        evaluate={"best": "loss"},
    )
    losses = [row["scalars"]["loss"] for row in rows if row["split"] == "val"]
    assert result["best"]["metric"] == "val/loss"
    assert result["best"]["value"] == min(losses)
    assert result["best"]["epoch"] == max(epoch for epoch, loss in enumerate(losses) if loss == min(losses))


def test_a_test_set_that_is_left_alone_changes_nothing_and_can_be_measured_later(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "data": {**DATA, "subset": 64},
        "model": {"name": "lenet5", "width": 0.2},
        "train": {"epochs": 1, "batch_size": 32, "precision": "fp32"},
    }
    whole, _ = run_of(tmp_path / "whole", **small)
    untested, rows = run_of(tmp_path / "untested", **small, evaluate={"test": False})
    assert untested["state"] == whole["state"]
    assert untested["fingerprint"] == whole["fingerprint"]
    assert set(untested["metrics"]) == {key for key in whole["metrics"] if key.startswith("val/")}
    assert {row["split"] for row in rows} == {"val", "val/best"}
    decoded = [result["ledger"]["samples_decoded"] for result in (whole, untested)]
    assert decoded[0] - decoded[1] == evaluate(tmp_path / "whole")["images"]
    found = evaluate(tmp_path / "untested")["metrics"]
    assert found["test/top1"] == whole["metrics"]["test/top1"]
