"""Series of selection by class over the epochs: kept share, difficulty, and a method's own numbers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

from fewer.report import units
from fewer.report.charts import Chart, Numbers, Panel, Role, on_epochs
from fewer.report.history import History, Line, spread
from fewer.report.load import Folder
from fewer.report.markup import visible
from fewer.report.values import dig, mapping, number, sequence

Side = Literal["above", "below"]
SUFFIX = "_per_class"
SERIES = 8  # drawn at most; their names come from the rows
CLASSES = 40  # lines of a panel at most
POINTS = 60  # of a line
ROWS = 60
NAME = 24  # characters of a class's name in a plot


def class_charts(folder: Folder, story: History, further: Sequence[str] = ()) -> list[Chart]:
    """A chart for every series by class that the rows hold; none where selection left nothing out and has no series.

    Args:
        folder: What the run folder says.
        story: Its rows.
        further: Names of groups behind the classes.
    """
    names = list(dict.fromkeys(key for mark in story.epochs for key in mapping(mark.row.get("series"))))
    charts = (_chart(key, folder, story, further) for key in names[:SERIES])
    return [chart for chart in charts if chart is not None]


def _chart(key: str, folder: Folder, story: History, further: Sequence[str]) -> Chart | None:
    recorded = [(mark.epochs, sequence(dig(mark.row, "series", key))) for mark in story.epochs]
    recorded = [(epochs, values) for epochs, values in recorded if values]
    width = max((len(values) for _, values in recorded), default=0)
    lines: list[Line] = [[] for _ in range(width)]
    for epochs, values in spread(recorded, POINTS):
        for line, value in zip(lines, map(number, values), strict=False):
            if value is not None:
                line.append((epochs, value))
    if not any(lines):
        return None
    title = visible(key.removesuffix(SUFFIX).replace("_", " "), NAME)
    percent = all(0 <= y <= 1 for line in lines for _, y in line)
    drawn: list[tuple[Role, Line]] = [("class", line) for line in spread(lines, CLASSES) if line]
    panel = Panel(f"{title} by class{', %' if percent else ''}", [*drawn, ("other", _means(lines))], percent)
    classes = _names(folder, width, further)
    panel.labels = _extremes(lines, classes)
    numbers = _numbers(lines, classes, units.share if percent else lambda value: f"{value:.4g}")
    return on_epochs(f"class-{_plain(title)}", [panel], folder, story, numbers)


def _plain(title: str) -> str:
    """A name that can be an id and part of a file's name."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in title)


def _names(folder: Folder, width: int, further: Sequence[str]) -> list[str]:
    classes = [str(value) for value in sequence(folder.plan.get("classes"))]
    given = [*classes, *further][:width]
    return given + [str(i) for i in range(len(given), width)]


def _means(lines: Sequence[Line]) -> Line:
    at: dict[float, list[float]] = {}
    for line in lines:
        for x, y in line:
            at.setdefault(x, []).append(y)
    return [(x, statistics.fmean(values)) for x, values in sorted(at.items())]


def _extremes(lines: Sequence[Line], names: Sequence[str]) -> list[tuple[float, float, str, Side]]:
    """The classes that end highest and lowest, named where they end; none where all end alike."""
    ends = sorted((line[-1][1], line[-1][0], name) for line, name in zip(lines, names, strict=True) if line)
    (low, low_x, lowest), (high, high_x, highest) = ends[0], ends[-1]
    if low == high:
        return []
    return [(high_x, high, visible(highest, NAME), "above"), (low_x, low, visible(lowest, NAME), "below")]


def _numbers(lines: Sequence[Line], names: Sequence[str], form: Callable[[float], str]) -> Numbers:
    rows = []
    for index in spread(range(len(lines)), ROWS):
        values = [y for _, y in lines[index]]
        if values:
            figures = (values[0], statistics.fmean(values), values[-1])
            rows.append([(float(index), visible(names[index], NAME)), *((value, form(value)) for value in figures)])
    return Numbers(["class", "first", "mean", "last"], rows, len(lines), "classes")
