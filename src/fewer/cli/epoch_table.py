"""The epochs of a run as a table on a terminal: a header, and a line an epoch that never wraps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from fewer.report import units

if TYPE_CHECKING:
    from fewer.core.evaluation import Metric
    from fewer.session.build import Session

_GAP = "  "
_HEADER_EVERY = 20  # lines: a terminal of 24 always shows one


@dataclass(frozen=True)
class Column:
    """A column, and what it holds of an epoch.

    Attributes:
        title: Stands above it.
        text: What a line shows; the value's place is empty where it gives none.
        width: At least; a longer title widens it.
        group: Stands above the titles of all columns of the same group.
        rank: Where a terminal is narrow, the columns of the highest rank are left out first; 0: never.
    """

    title: str
    text: Callable[[Mapping[str, Any]], str]
    width: int
    group: str = ""
    rank: int = 0

    @property
    def cells(self) -> int:
        """Characters that it takes."""
        return max(self.width, len(self.title))


class EpochTable:
    """Turns an epoch into the lines that a terminal shows next.

    Args:
        session: The run.
        validated: The metrics of validation.
    """

    def __init__(self, session: Session, validated: Sequence[Metric]) -> None:
        self._columns = columns(session, validated)
        self._lines = 0

    def next(self, line: Mapping[str, Any], width: int) -> list[str]:
        """An epoch's line, and above it the header where none has been shown for a while.

        Args:
            line: The epoch's row, with `val_NAME` for each metric and `seconds_left`.
            width: Of the terminal, in characters.
        """
        shown = fitting(self._columns, width)
        head = header(shown) if self._lines % _HEADER_EVERY == 0 else []
        self._lines += 1
        return [*head, _GAP.join(column.text(line).rjust(column.cells) for column in shown)]


def columns(session: Session, validated: Sequence[Metric]) -> list[Column]:
    """The columns of a run's epochs, from left to right."""
    epochs, selects = session.plan.epochs, session.plan.recipe.select.model_dump()["method"] != "full"
    found = [Column("epoch", lambda line: f"{line['epoch'] + 1}/{epochs}", len(f"{epochs}/{epochs}"))]
    found.append(Column("loss", lambda line: _loss(line["loss"]), 6, "training"))
    found += [_column(metric, metric.name, "training", 1) for metric in session.task.step_metrics]
    if session.val_data:
        # The loss first, as in training; of several metrics the last are the least important.
        ordered = sorted(validated, key=lambda metric: metric.name != "loss")
        found += [
            _column(metric, f"val_{metric.name}", "validation", 2 * place) for place, metric in enumerate(ordered)
        ]
    if selects or session.plan.own_selector:
        found.append(Column("kept", lambda line: f"{line['kept_share']:.0%}", 4, rank=3))
    found.append(Column("FEE", lambda line: f"{line['fee']:.2f}", len(f"{epochs}.00") + 1, rank=6))
    found.append(Column("images/s", lambda line: f"{line['images_per_second']:,.0f}", 8, rank=5))
    found.append(Column("time", lambda line: units.clock(line["seconds"]), 6, rank=7))
    found.append(Column("left", lambda line: units.clock(line["seconds_left"]), 6))
    return found


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit into a terminal, less those of the highest rank."""
    shown = list(columns)
    while sum(column.cells + len(_GAP) for column in shown) - len(_GAP) > width:
        least = max(shown, key=lambda column: column.rank)
        if not least.rank:
            break
        shown.remove(least)
    return shown


def header(columns: Sequence[Column]) -> list[str]:
    """Two lines: what the columns of a group are of, and their titles."""
    groups = []
    for name, members in groupby(columns, key=lambda column: column.group):
        cells = [column.cells for column in members]
        groups.append(name.center(sum(cells) + len(_GAP) * (len(cells) - 1)))
    return [_GAP.join(groups).rstrip(), _GAP.join(column.title.rjust(column.cells) for column in columns)]


def _column(metric: Metric, key: str, group: str, rank: int) -> Column:
    def text(line: Mapping[str, Any]) -> str:
        value = line.get(key)
        return "-" if value is None else metric.text(value, digits=1) if metric.is_share else _loss(value)

    return Column(metric.label, text, 6, group, rank)


def _loss(value: float) -> str:
    """Six characters at most, of whatever size: `2.1906`, `12.35`, `1.2e+07`."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"[:6] if abs(value) < 1e5 else f"{value:.0e}"
