"""Runs with a budget, and runs that become longer or shorter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.runs.record import read_rows
from fewer.session.fit import fit, resume
from fewer.testing.harness import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**train: Any) -> dict[str, Any]:
    """Three batches an epoch."""
    return {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 6, "batch_size": 30, "lr": 0.05, "side_px": 16, **train},
        "out": {"plots": False, "previews": False, "keep": 50},
    }


def rows_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_rows(folder / "rows.jsonl") if row["kind"] == kind]


def test_a_run_with_a_budget_is_the_run_of_the_epochs_that_it_pays_for(tmp_path: Path) -> None:
    paid = fit(parse_recipe(content(budget="0.5")), tmp_path / "paid")
    plain = fit(parse_recipe(content(epochs=3)), tmp_path / "plain")
    assert paid["epochs"] == 3
    assert (paid["state"], paid["digest"]) == (plain["state"], plain["digest"])
    assert paid["ledger"]["full_epoch_equivalents"] == pytest.approx(0.5 * 6)
    assert resume(tmp_path / "paid") == paid, "what it has spent is not shared out again"
    assert not rows_of(tmp_path / "paid", "amendment")
