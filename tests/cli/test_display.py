"""The live line on a terminal: it stays within its width, and an epoch is a line of the table."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from fewer.cli.display import Live
from fewer.core.clock import Cursor
from fewer.recipe.parse import parse_recipe
from fewer.select.budget import Budget
from fewer.tasks.classify import PRIMARY, STEP_METRICS

RECIPE = parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "select": {"method": "dbpd"}})
LINE = {
    "epoch": 0, "loss": 2.19, "top1": 0.5, "val_top1": 0.6, "val_macro_f1": 0.55, "val_loss": 1.5, "kept_share": 0.5,
    "fee": 0.5, "effective_epochs": 0.5, "seconds": 60.0, "images_per_second": 1000.0, "lr": 0.1, "momentum": 0.9,
}  # fmt: skip


def session_of(epochs: int) -> Any:
    budget = Budget(100, (1,) * epochs, (1,) * epochs)
    plan = SimpleNamespace(epochs=epochs, recipe=RECIPE, own_selector="", budget=budget)
    task = SimpleNamespace(name="classify", primary=PRIMARY, step_metrics=STEP_METRICS)
    peaks = {"peak_memory_bytes": 2**30, "peak_device_memory_bytes": 5 * 2**30}
    ledger = SimpleNamespace(total_seconds=0.0, training_seconds=0.0, peaks=lambda: peaks)
    run = SimpleNamespace(ledger=ledger, cursor=Cursor())
    return SimpleNamespace(plan=plan, task=task, val_data=object(), run=run, copy_lag="")


def test_an_epoch_on_a_terminal_is_a_line_that_fits_and_elsewhere_it_is_in_words() -> None:
    texts = {}
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=80)
        live, session = Live(console), session_of(10)
        live.begin(session)
        live.epoch(LINE, session)
        texts[is_terminal] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [len(text) <= 80 for text in texts[True]] == [True] * 3
    assert texts[True][1].split()[:3] == ["epoch", "loss", "top-1"]
    assert len(texts[False]) == 1, "plain lines are not wrapped"
    assert "val macro-F1 55.00%" in texts[False][0]


def test_the_live_line_gives_up_its_last_parts_before_it_wraps() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    live, session = Live(console), session_of(1000)
    live.begin(session)
    session.run.ledger.total_seconds = session.run.ledger.training_seconds = 100.0
    row = SimpleNamespace(
        epoch=99, batch=0, batches=1000, candidates=123_456, kept=1234, loss=1.5, metrics={"top1": 1.0}, epoch_end=False
    )
    live.row(row, session)  # type: ignore[arg-type]
    (task,) = live.bar.tasks
    assert len(f"{task.description} {task.fields['line']}") <= 60
    assert "loss 1.500  top-1 100.0%  1,235 images/s" in task.fields["line"]
    assert "GiB" not in task.fields["line"]


def test_the_live_line_shows_a_gpus_memory_beside_the_process_own() -> None:
    live, session = Live(Console(file=io.StringIO(), force_terminal=True, width=200)), session_of(10)
    live.begin(session)
    row = SimpleNamespace(
        epoch=0, batch=0, batches=10, candidates=10, kept=10, loss=1.5, metrics={"top1": 1.0}, epoch_end=False
    )
    live.row(row, session)  # type: ignore[arg-type]
    assert live.bar.tasks[0].fields["line"].endswith("1.0 GiB  GPU 5.0 GiB")
    session.run.ledger.peaks()["peak_device_memory_bytes"] = 0
    live.row(row, session)  # type: ignore[arg-type]
    assert live.bar.tasks[0].fields["line"].endswith("left  1.0 GiB")
