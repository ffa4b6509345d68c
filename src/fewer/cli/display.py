"""The progress display of the command line: a live line on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from fewer.core.evaluation import Metric
from fewer.plan.plan import Plan
from fewer.plan.table import table
from fewer.report.load import document
from fewer.report.metrics import metrics_of

if TYPE_CHECKING:
    from fewer.session.build import Session
    from fewer.session.progress import Display
    from fewer.training.loop import Row

_PLAIN_SECONDS = 30.0  # between two lines within an epoch, without a terminal
_BAR_COLUMNS = 105  # a narrower terminal has no room for a bar beside the numbers


class Live:
    """A line with epoch, loss, metrics, speed, kept share, time left and memory; one that stays for every epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),  # a variant's name may hold brackets
            *([BarColumn(bar_width=20)] if console.width >= _BAR_COLUMNS else []),
            TextColumn("{task.fields[line]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None
        self.began: tuple[float, float] | None = None
        self.shown_s = time.monotonic()
        self.speed = 0.0
        self.last = time.monotonic()

    def decoding(self, done: int, total: int) -> None:
        self._show("decoding", done / max(1, total), f"{done:,} of {total:,} images")

    def note(self, text: str) -> None:
        self._say(text)

    def row(self, row: Row, session: Session) -> None:
        from fewer.core.ledger import peak_memory_bytes

        now = time.monotonic()
        done = row.progress + 1 / row.batches / session.plan.epochs
        if self.began is None:
            self.began = (now, row.progress)
        else:
            rate = row.candidates / max(1e-9, now - self.last)
            self.speed = rate if not self.speed else 0.9 * self.speed + 0.1 * rate
        self.last = now
        left = (now - self.began[0]) / max(1e-9, done - self.began[1]) * (1 - done)
        parts = [
            f"loss {row.loss:.3f}" if row.loss is not None else "loss -",
            *(_metric(metric, row.metrics[metric.name]) for metric in session.task.step_metrics),
            f"{self.speed:,.0f} images/s",
            f"kept {row.kept / row.candidates:.0%}",
            f"{_clock(left)} left",
            f"{peak_memory_bytes() / 2**30:.1f} GiB",
        ]
        name = f"epoch {row.epoch + 1}/{session.plan.epochs}"
        self._show(name, done, "  ".join(parts))

    def epoch(self, text: str) -> None:
        self.note(text)
        self.shown_s = time.monotonic()

    def phase(self, name: str) -> None:
        if self.task is not None:
            self.bar.update(self.task, description=name, line="")

    def _show(self, name: str, done: float, line: str) -> None:
        if self.task is None:
            self.task = self.bar.add_task(name, total=1.0, line=line)
        self.bar.update(self.task, description=name, completed=done, line=line)
        if not self.console.is_terminal and time.monotonic() - self.shown_s > _PLAIN_SECONDS:
            self._say(f"{name}  {line}")
            self.shown_s = time.monotonic()

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=not self.console.is_terminal)


class OneOfMany(Live):
    """The line of a run among many, under its name; epochs and notes stay in the run's own log."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(console)
        self.title = title

    def note(self, text: str) -> None:
        return

    def phase(self, name: str) -> None:
        super().phase(f"{self.title}: {name}")

    def _show(self, name: str, done: float, line: str) -> None:
        super()._show(f"{self.title}: {name}", done, line)


@contextmanager
def shown(rank: int) -> Iterator[Display | None]:
    """The display of rank 0; the other ranks show nothing."""
    if rank:
        yield None
        return
    live = Live(Console(stderr=True))
    with live.bar:
        yield live


@contextmanager
def counted(what: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A line on a terminal's stderr that counts images; takes images done and images in all, 0 if nobody knows."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), console=console, transient=True, disable=quiet or not console.is_terminal
    ) as bar:
        task = bar.add_task(what)

        def show(done: int, total: int) -> None:
            bar.update(task, description=f"{what}  {done:,}{f' of {total:,}' if total else ''} images")

        yield show


def finish(result: dict[str, Any], folder: Path, as_json: bool, rank: int) -> int:
    """Prints a run's result on stdout: one JSON document, or a few lines."""
    if rank:
        return 0
    if as_json:
        print(json.dumps(result))
        return 0
    ledger, metrics = result["ledger"], result["metrics"]
    primary = metrics_of(document(folder / "plan.json")).primary
    found = {name: metrics.get(f"{name}/{primary.name}") for name in ("test", "val")}
    ends = [f"{name} {primary.label} {primary.text(value)}" for name, value in found.items() if value is not None]
    print(
        f"{', '.join(ends) or 'trained'} after {result['epochs']} epochs; {ledger['full_epoch_equivalents']:.2f} FEE, "
        f"{ledger['effective_epochs']:.2f} EE, {ledger['seconds']['total']:.0f} s"
    )
    print(folder / "report.html")
    return 0


def show_plan(plan: Plan) -> None:
    """Prints a plan's stages and predicted cost on stdout."""
    console = Console(highlight=False)
    data, machine, train = plan.facts.data, plan.facts.machine, plan.recipe.train
    console.print(
        f"{plan.recipe.model.name}, {plan.facts.model.parameters:,} parameters, {len(data.classes)} classes; "
        f"{data.train_images:,} training, {data.val_images:,} validation, {data.test_images:,} test images",
        soft_wrap=True,
    )
    console.print(
        f"{plan.precision}, {'channels-last' if plan.channels_last else 'channels-first'}, {machine.device}, "
        f"{machine.processes} rank(s) of {machine.threads} thread(s); {train.optimizer}, {train.schedule}"
        f"{', compiled' if train.compile != 'no' else ''}{', deterministic' if train.deterministic else ''}; "
        f"digest {plan.digest}",
        soft_wrap=True,
    )
    console.print(f"{_loading(plan)}; {_device_settings(plan)}", soft_wrap=True)
    header, *rows = table(plan)
    grid = Table(*header, box=None, pad_edge=False)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    cost = Table("predicted", "lowest", "highest", box=None, pad_edge=False)
    for name, (low, high) in plan.predicted.items():
        cost.add_row(name, _amount(name, low), _amount(name, high))
    console.print(cost)
    for note in plan.notes:
        console.print(f"- {note}", markup=False, soft_wrap=True)


def _loading(plan: Plan) -> str:
    loading = plan.loading
    if loading.in_memory:
        return f"images decoded once into memory by {loading.threads} thread(s)"
    if not loading.processes:
        return "images read in the training process"
    ahead = loading.prefetched_batches
    return f"images read by {loading.processes} loader process(es) a rank, {ahead} batches ahead"


def _device_settings(plan: Plan) -> str:
    settings = asdict(plan.device_settings)
    return ", ".join(f"{name.replace('_', ' ')} {'on' if value else 'off'}" for name, value in settings.items())


def _amount(name: str, value: float) -> str:
    if name in ("effective_epochs", "full_epoch_equivalents"):
        return f"{value:.2f}"
    return f"{value:.4g}" if name == "flops" else f"{value:,.0f}"


def _metric(metric: Metric, value: float | None) -> str:
    return f"{metric.label} {'-' if value is None else metric.text(value, digits=1)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


__all__ = ["Live", "OneOfMany", "counted", "finish", "show_plan", "shown"]
