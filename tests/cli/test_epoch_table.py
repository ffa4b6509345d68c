"""The table of epochs on a terminal: it fits, its columns stand below their titles, and it says what is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fewer.cli.epoch_table import EpochTable
from fewer.tasks.classify import STEP_METRICS, VALIDATION_METRICS


def session_of(epochs: int = 10, method: str = "full", validates: bool = True) -> Any:
    """As much of a session as a table asks for."""
    select = SimpleNamespace(model_dump=lambda: {"method": method})
    plan = SimpleNamespace(epochs=epochs, recipe=SimpleNamespace(select=select), own_selector="")
    return SimpleNamespace(
        plan=plan, task=SimpleNamespace(step_metrics=STEP_METRICS), val_data=object() if validates else None
    )


def line_of(epoch: int = 0, **changes: Any) -> dict[str, Any]:
    """An epoch in large numbers, so that every column is as wide as it gets."""
    widest = {"loss": 123.456, "top1": 1.0, "val_loss": 12.3456, "val_top1": 1.0, "val_macro_f1": 1.0}
    costs = {"fee": 1.5 * epoch + 2, "seconds": 40_000.0, "images_per_second": 123_456.0, "seconds_left": 36_000.0}
    return {"epoch": epoch, "kept_share": 1.0, **widest, **costs, **changes}


@pytest.mark.parametrize("method", ["full", "dbpd"])
@pytest.mark.parametrize("epochs", [1, 10, 1000])
def test_no_line_is_wider_than_the_terminal(epochs: int, method: str) -> None:
    table = EpochTable(session_of(epochs, method), VALIDATION_METRICS)
    shown = table.next(line_of(epochs - 1), 80)
    assert all(len(text) <= 80 for text in shown), shown
    assert len({len(text) for text in shown[1:]}) == 1, "a number ends where its title does"
    for title in ("epoch", "top-1", "macro-F1", "left"):
        assert title in shown[1]
    assert ("kept" in shown[1]) is (method == "dbpd")


def test_a_narrow_terminal_shows_what_matters_most() -> None:
    _, titles, row = EpochTable(session_of(), VALIDATION_METRICS).next(line_of(), 40)
    assert titles.split() == ["epoch", "loss", "top-1", "loss", "left"]
    assert row.split() == ["1/10", "123.46", "100.0%", "12.346", "10h00"]


def test_what_a_run_lacks_has_no_column_and_an_epoch_without_validation_says_so() -> None:
    assert EpochTable(session_of(validates=False), VALIDATION_METRICS).next(line_of(), 80)[0].split() == ["training"]
    skipped = line_of(val_loss=None, val_top1=None, val_macro_f1=None)
    assert EpochTable(session_of(), VALIDATION_METRICS).next(skipped, 80)[-1].split().count("-") == 3


def test_the_header_comes_again_before_it_has_left_the_screen() -> None:
    table = EpochTable(session_of(50), VALIDATION_METRICS)
    headed = [epoch for epoch in range(50) if len(table.next(line_of(epoch), 80)) > 1]
    assert headed == [0, 20, 40]
