"""The progress display of the command line: a live line on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from fewer.core.errors import CopyIncomplete
from fewer.core.evaluation import Metric
from fewer.core.text import quantity
from fewer.machine.device import expected_device
from fewer.report import units
from fewer.report.load import document
from fewer.report.metrics import metrics_of
from fewer.session.progress import opening
from fewer.sync.place import is_rank

if TYPE_CHECKING:
    from fewer.cli.epoch_table import EpochTable
    from fewer.recipe.schema import Recipe
    from fewer.session.build import Session
    from fewer.session.pace import Pace
    from fewer.session.progress import Display
    from fewer.training.loop import Row

_PLAIN_SECONDS = 30.0  # between two lines within an epoch, without a terminal
_BAR_COLUMNS = 105  # a narrower terminal has no room for a bar beside the numbers


class Live:
    """A line with epoch, loss, metrics, speed, time left, kept share and memory; one that stays for every epoch."""

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
        self.pace: Pace | None = None
        self.table: EpochTable | None = None
        self.ranks = ""
        self.shown_s = time.monotonic()

    def decoding(self, done: int, total: int) -> None:
        self._show("decoding", done / max(1, total), f"{done:,} of {total:,} images")

    def note(self, text: str) -> None:
        self._say(text)

    def begin(self, session: Session) -> None:
        from fewer.session.pace import Pace

        self.pace = Pace(session)

    def row(self, row: Row, session: Session) -> None:
        assert self.pace is not None, "a run begins before its first batch"
        pace = self.pace
        pace.add(row)
        parts = [
            f"loss {row.loss:.3f}" if row.loss is not None else "loss -",
            *(_metric(metric, row.metrics[metric.name]) for metric in session.task.step_metrics),
            f"{pace.images_per_second:,.0f} images/s",
            f"{units.clock(pace.seconds_left)} left",
            *([f"kept {row.kept / row.candidates:.0%}"] if row.kept < row.candidates else []),
            *([session.copy_lag] if session.copy_lag else []),
            _memory(session.run.ledger.peaks()),
            *([self.ranks] if self.ranks else []),
        ]
        name = f"epoch {row.epoch + 1}/{session.plan.epochs}"
        done = (row.epoch + (row.batch + 1) / row.batches) / session.plan.epochs
        self._show(name, done, _within(parts, self.console.width - len(name) - 2))

    def epoch(self, line: Mapping[str, Any], session: Session) -> None:
        from fewer.cli.epoch_table import EpochTable
        from fewer.session import rank_speeds
        from fewer.session.epoch_metrics import in_words, validation_metrics

        self.ranks = rank_speeds.in_words(line.get("ranks", ()))  # of the last epoch
        if self.console.is_terminal:
            validated = validation_metrics(session.plan.recipe, session.task)
            self.table = self.table or EpochTable(session, validated)
            line = {**line, "seconds_left": self.pace.seconds_left if self.pace else 0.0}
            for text in self.table.next(line, self.console.width):
                self._say(text)
        else:
            self._say(in_words(line, session))
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

    def epoch(self, line: Mapping[str, Any], session: Session) -> None:
        return

    def phase(self, name: str) -> None:
        super().phase(f"{self.title}: {name}")

    def _show(self, name: str, done: float, line: str) -> None:
        super()._show(f"{self.title}: {name}", done, line)


def announce(folder: Path, recipe: Recipe) -> None:
    """A run's first line, on stderr: a second after the command, long before its data is read."""
    if not is_rank():
        print(opening(folder, recipe, expected_device()), file=sys.stderr, flush=True)


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
    plan = document(folder / "plan.json")
    primary = metrics_of(plan).primary
    found = {name: metrics.get(f"{name}/{primary.name}") for name in ("test", "val")}
    said = {name: f"{name} {primary.label} {primary.text(value)}" for name, value in found.items() if value is not None}
    known = next(iter(said), "")
    if bounds := result.get("intervals", {}).get(f"{known}/{primary.name}"):
        images = plan[f"{known}_images"]
        said[known] += f" ({' to '.join(primary.text(bound, digits=1) for bound in bounds)} by {images:,} images)"
    cost = f"{ledger['full_epoch_equivalents']:.2f} FEE, {ledger['effective_epochs']:.2f} EE"
    print(_outcome(", ".join(said.values()) or "trained", result))
    print(f"{cost}, {ledger['seconds']['total']:.0f} s")
    print(folder / "report.html")
    return 0


@contextmanager
def shown_anyway(as_json: bool) -> Iterator[None]:
    """Prints the result of a run that is done, where only its copy is not."""
    try:
        yield
    except CopyIncomplete as error:
        finish(error.result, error.folder, as_json, rank=0)
        raise


def _outcome(said: str, result: Mapping[str, Any]) -> str:
    """Metrics behind the model that has them: the best of all epochs where it was chosen by one of them."""
    epochs, best = quantity(result["epochs"], "epoch"), result["best"]["epoch"] + 1
    return f"best model, epoch {best} of {epochs}: {said}" if best < result["epochs"] else f"{said} after {epochs}"


def _metric(metric: Metric, value: float | None) -> str:
    return f"{metric.label} {'-' if value is None else metric.text(value, digits=1)}"


def _memory(peaks: Mapping[str, int]) -> str:
    """The most memory so far: of the process, and of a GPU where there is one."""
    own, gpu = (peaks[name] / 2**30 for name in ("peak_memory_bytes", "peak_device_memory_bytes"))
    return f"{own:.1f} GiB" + (f"  GPU {gpu:.1f} GiB" if gpu else "")


def _within(parts: Sequence[str], width: int) -> str:
    """The first parts, as many as fit: a live line that wraps would leave its upper half behind."""
    text = ""
    for part in parts:
        longer = f"{text}  {part}" if text else part
        if len(longer) > width:
            break
        text = longer
    return text


__all__ = ["Live", "OneOfMany", "announce", "counted", "finish", "shown", "shown_anyway"]
