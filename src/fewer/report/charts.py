"""The charts of a run, ready to be drawn: points, bands, marks, and the numbers as a table.

The page's SVG and the PNG files in `plots/` are drawn from the same charts, so they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from fewer.core.evaluation import LOSS, Metric
from fewer.report import units
from fewer.report.history import AXES, Axis, History, Line, Mark, line, spread, thinned
from fewer.report.load import Folder
from fewer.report.loss_axis import top_of
from fewer.report.metrics import metrics_of
from fewer.report.values import dig, mapping, number

POINTS = 800  # of a curve in a plot; a plot is some 350 px wide
ROWS = 60  # of the table under a plot
TIME = ((7200.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
Split = Literal["val", "test"]
SPLITS: tuple[Split, ...] = ("val", "test")
Role = Literal["train", "steps", "val", "test", "other", "class", "plain", "random", "variant", "complete", "pruned"]
NAMES: dict[Role, str] = {
    "train": "training, mean of an epoch", "val": "validation", "test": "test", "steps": "training, single steps",
    "plain": "plain training", "random": "random training", "variant": "variants, by number",
    "complete": "complete trials", "pruned": "trials that were ended early",
}  # fmt: skip
Cell = tuple[float, str] | None  # a number, and how a person reads it
Value = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Spot:
    """A point by itself with its interval, and a label beside it."""

    role: Role
    x: float
    y: float
    low: float
    high: float
    label: str = ""


@dataclass
class Panel:
    """One pair of axes.

    Attributes:
        name: Stands above the panel.
        lines: Curves with their roles.
        percent: The values are shares in [0, 1].
        star: Where the model that was published stands.
        top: Upper limit of the values, if a spike should not flatten the rest.
        clipped: Points above it, which are marked at the edge with their values.
        labels: Words above or below points.
        spots: Points with intervals, beside the curves.
    """

    name: str
    lines: list[tuple[Role, Line]] = field(default_factory=list)
    percent: bool = False
    star: tuple[float, float] | None = None
    top: float | None = None
    clipped: Line = field(default_factory=list)
    labels: Sequence[tuple[float, float, str, Literal["above", "below"]]] = ()
    spots: Sequence[Spot] = ()


@dataclass(frozen=True)
class Numbers:
    """The table under a plot: a row an epoch (or a step), at most `ROWS` of `total`."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int
    unit: str


NO_NUMBERS = Numbers([], [], 0, "")  # where a table beside the plot has them, with a column of text


@dataclass(frozen=True)
class Chart:
    """Panels one above the other on one x axis.

    Attributes:
        key: Name of the file, and prefix of all ids on the page.
        panels: From top to bottom.
        x_name: Label of the x axis.
        description: What the plot shows, for those who do not see it.
        numbers: The same as a table.
        bands: Begin, end and label of stages.
        marks: Where the run was resumed.
        whole_x: The x axis counts whole things.
        ticks: Places of the x axis and what they are called, where it holds no plain numbers from 0 on.
    """

    key: str
    panels: Sequence[Panel]
    x_name: str
    description: str
    numbers: Numbers
    bands: Sequence[tuple[float, float, str]] = ()
    marks: Sequence[float] = ()
    whole_x: bool = False
    ticks: Sequence[tuple[float, str]] = ()

    @property
    def roles(self) -> list[Role]:
        """The roles that are drawn, in the order of their first line."""
        return list(dict.fromkeys(role for panel in self.panels for role, points in panel.lines if points))


def judged_by(folder: Folder) -> Metric:
    """The metric that a run is known by: that of its best checkpoint, but its task's own where the loss decided."""
    chosen, metrics = best(folder).get("metric"), metrics_of(folder.plan)
    found = metrics[chosen] if isinstance(chosen, str) and "/" in chosen else metrics.primary
    return metrics.primary if found.name == LOSS.name else found


def best(folder: Folder) -> Mapping[str, Any]:
    """The published model, or the one that would be now; empty before the first evaluation."""
    return mapping(folder.result.get("best")) or mapping(folder.status.get("best"))


def star_name(folder: Folder) -> str:
    """What a star in a plot means."""
    over = number(folder.status.get("epoch")) == number(folder.plan.get("epochs"))
    return "published model" if folder.result or over else "best model so far"


def curve_charts(folder: Folder, story: History) -> list[Chart]:
    """Loss and the task's metric against epochs, seconds and FEE; those that hold anything."""
    metric = judged_by(folder)
    steps, values = thinned(story.steps, "loss", POINTS)
    further = [other for other in metrics_of(folder.plan).validated if other.name not in (metric.name, LOSS.name)]
    charts = []
    for axis in AXES:
        panels = [_loss(story, steps, values, axis), _metric(folder, story, metric, axis)]
        panels += [_metric(folder, story, other, axis) for other in further]
        panels = [panel for panel in panels if any(points for _, points in panel.lines)]
        if panels:
            charts.append(
                _on(axis, f"curves-{axis}", panels, folder, story, _curve_numbers(story, steps, metric, axis))
            )
    return charts


def schedule_charts(folder: Folder, story: History) -> list[Chart]:
    """Rates, sizes, speed and what steps do to layers, over the epochs; those that hold anything."""
    by_step = {"lr": "learning rate", "momentum": "momentum"}
    charts = []
    for key, name in by_step.items():
        shown, _ = thinned(story.steps, key, POINTS)
        panel = Panel(name, [("other", _line(shown, "epochs", key))])
        charts.append((key, panel, _step_numbers(shown, key, name)))
    batch = Panel("batch size", [("other", _line(story.epochs, "epochs", "batch_size"))])
    charts.append(("batch", batch, _epoch_numbers(story, "batch_size", "images per step", units.count)))
    kept = _line(story.epochs, "epochs", "kept_share") if story.selected() else []
    charts.append(("kept", Panel("kept share, %", [("other", kept)], percent=True),
                   _epoch_numbers(story, "kept_share", "kept share", units.share)))  # fmt: skip
    speed = Panel("images per second", [("other", _line(story.epochs, "epochs", "images_per_second"))])
    charts.append(("speed", speed, _epoch_numbers(story, "images_per_second", "images/s", units.count)))
    ratio = Panel("trust ratio", [("other", _line(story.epochs, "epochs", "trust_ratio"))])
    charts.append(("trust", ratio, _epoch_numbers(story, "trust_ratio", "median over layers", units.plain)))
    update = Panel("update / weight", [("other", _line(story.epochs, "epochs", "update_norm"))])
    charts.append(("update", update, _epoch_numbers(story, "update_norm", "median over layers", units.plain)))
    return [on_epochs(key, [panel], folder, story, numbers) for key, panel, numbers in charts if panel.lines[0][1]]


def stacked(key: str, charts: Sequence[Chart]) -> Chart:
    """Charts with the same x axis as one."""
    return replace(charts[0], key=key, panels=[panel for chart in charts for panel in chart.panels])


def on_epochs(key: str, panels: Sequence[Panel], folder: Folder, story: History, numbers: Numbers) -> Chart:
    """A chart over the epochs, with the run's stages and resumes."""
    return _on("epochs", key, panels, folder, story, numbers)


def _on(axis: Axis, key: str, panels: Sequence[Panel], folder: Folder, story: History, numbers: Numbers) -> Chart:
    """A chart over an axis, in the unit that suits its length."""
    scale, unit = _scale(story, axis)
    return Chart(
        key,
        [_scaled(panel, scale) for panel in panels],
        unit,
        _description(panels),
        numbers,
        bands=[(begin / scale, end / scale, label) for begin, end, label in story.stages(folder.plan, axis)],
        marks=[x / scale for mark in story.resumes if (x := mark.at(axis)) is not None],
        whole_x=axis == "epochs",
    )


def _scale(story: History, axis: Axis) -> tuple[float, str]:
    if axis != "seconds":
        return 1.0, {"epochs": "epochs", "fee": "FEE (full-epoch equivalents)"}[axis]
    longest = max((mark.seconds or 0.0 for mark in (*story.steps[-1:], *story.epochs[-1:])), default=0.0)
    return next(((scale, unit) for least, scale, unit in TIME if longest >= least), (1.0, "seconds"))


def _scaled(panel: Panel, scale: float) -> Panel:
    lines = [(role, [(x / scale, y) for x, y in points]) for role, points in panel.lines]
    star = (panel.star[0] / scale, panel.star[1]) if panel.star else None
    return replace(panel, lines=lines, star=star, clipped=[(x / scale, y) for x, y in panel.clipped])


def _line(marks: Sequence[Mark], axis: Axis, key: str) -> Line:
    return line(marks, axis, lambda row: row.get(key))


def _scalar(key: str) -> Value:
    return lambda row: dig(row, "scalars", key)


# --- Loss and metric ---------------------------------------------------------------------------------------------


def _loss(story: History, shown: Sequence[Mark], losses: Sequence[float], axis: Axis) -> Panel:
    steps, means = _line(shown, axis, "loss"), _line(story.epochs, axis, "loss")
    val = line(story.evaluated("val"), axis, _scalar("loss"))
    lines: list[tuple[Role, Line]] = [("steps", steps), ("train", means), ("val", val)]
    top = top_of([y for _, y in means + val], losses)
    clipped = [] if top is None else [(x, y) for x, y in means + val if y > top]
    return Panel("loss", lines, top=top, clipped=clipped)


def _metric(folder: Folder, story: History, metric: Metric, axis: Axis) -> Panel:
    key = metric.name
    lines: list[tuple[Role, Line]] = [("train", _line(story.epochs, axis, key))]
    for split in SPLITS:
        lines.append((split, line(story.evaluated(split), axis, _scalar(key))))
    lines = [(role, points) for role, points in lines if points]  # training has fewer metrics than evaluation
    percent = metric.is_share and all(0 <= y <= 1 for _, points in lines for _, y in points)
    star = _star(folder, story, key, axis)
    return Panel(f"{metric.label}{', %' if percent else ''}", lines, percent, star)


def _star(folder: Folder, story: History, key: str, axis: Axis) -> tuple[float, float] | None:
    """The model that was published: on the validation curve, or at its test result where there is none."""
    epoch = number(best(folder).get("epoch"))
    x = story.at_epoch(epoch + 1, axis) if epoch is not None else None
    if x is None:
        return None
    for split in SPLITS:
        for mark in story.evaluated(split):
            value = number(dig(mark.row, "scalars", key))
            if value is not None and (split == "test" or mark.epochs == (epoch or 0.0) + 1):
                place = mark.at(axis)  # on the curve: an evaluation takes seconds of its own
                return (x if place is None else place), value
    value = number(mapping(folder.result.get("metrics")).get(f"test/{key}"))
    return None if value is None else (x, value)


def _description(panels: Sequence[Panel]) -> str:
    sentences = []
    for panel in panels:
        for role, points in panel.lines:
            if points and role not in ("steps", "class"):
                of = "" if role == "other" else f" on {role}"
                sentences.append(f"{panel.name}{of}: {points[0][1]:.4g} at first, {points[-1][1]:.4g} at the end")
    return "; ".join(sentences) + "."


# --- Tables ------------------------------------------------------------------------------------------------------


def _curve_numbers(story: History, steps: Sequence[Mark], metric: Metric, axis: Axis) -> Numbers:
    """Loss and metric after each epoch; of single steps where no epoch is complete."""
    if not story.epochs:
        return _step_numbers(steps, "loss", "loss")
    values = {split: {mark.epochs: mark.row for mark in story.evaluated(split)} for split in SPLITS}
    splits = [split for split in SPLITS if values[split]]
    head = ["after epoch", *({"seconds": ["time"], "fee": ["FEE"]}.get(axis, []))]
    head += ["loss", *(f"{split} loss" for split in splits)]
    head += [metric.label, *(f"{split} {metric.label}" for split in splits)]
    rows: list[list[Cell]] = []
    for mark in spread(story.epochs, ROWS):
        cells: list[Cell] = [(mark.epochs, units.plain(mark.epochs))]
        cells += [] if axis == "epochs" else [_cell(mark.at(axis), {"fee": units.epochs}.get(axis, units.duration))]
        for shown in (LOSS, metric):
            form, name = partial(units.metric, shown), shown.name
            found = [mark.row.get(name), *(dig(values[split].get(mark.epochs), "scalars", name) for split in splits)]
            cells += [_cell(number(value), form) for value in found]
        rows.append(cells)
    return Numbers(head, rows, len(story.epochs), "epochs")


def _epoch_numbers(story: History, key: str, name: str, form: Callable[[float], str]) -> Numbers:
    rows = [
        [(mark.epochs, units.plain(mark.epochs)), _cell(number(mark.row.get(key)), form)]
        for mark in spread(story.epochs, ROWS)
    ]
    return Numbers(["after epoch", name], rows, len(story.epochs), "epochs")


def _step_numbers(shown: Sequence[Mark], key: str, name: str) -> Numbers:
    rows = [
        [
            _cell(number(mark.row.get("step")), units.count),
            (mark.epochs, f"{mark.epochs:.2f}"),
            _cell(number(mark.row.get(key)), lambda value: f"{value:.4g}"),
        ]
        for mark in spread(shown, ROWS)
    ]
    return Numbers(["step", "epochs", name], rows, len(shown), "steps shown in the plot")


def _cell(value: float | None, form: Callable[[float], str]) -> Cell:
    return None if value is None else (value, form(value))
