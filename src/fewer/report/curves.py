"""The section with the curves: loss and the task's metric against epochs, seconds and FEE, and what drove them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewer.report import units
from fewer.report.history import AXES, Axis, History, Line, Mark, line, spread, thinned
from fewer.report.load import Folder
from fewer.report.markup import Html, details, empty, esc, join, section, table, td
from fewer.report.plots import POINTS, Panel, Role, plot, swatch
from fewer.report.values import dig, mapping, number, whole

ROWS = 200  # of the table under the plots
TIME = ((7200.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
SPLITS: tuple[Role, ...] = ("val", "test")


def metric_key(folder: Folder) -> str:
    """The metric that the run was judged by: that of its best checkpoint, else top-1."""
    chosen = dig(folder.result, "best", "metric")
    return chosen.rsplit("/", 1)[-1] if isinstance(chosen, str) and "/" in chosen else "top1"


def curves(folder: Folder, story: History) -> Html:
    """Loss and metric, three times."""
    if not story.steps and not story.epochs and not story.evaluations:
        return Html("")
    key = metric_key(folder)
    roles = _roles(story)
    steps, values = thinned(story.steps, "loss", POINTS)
    ceiling = _ceiling(values)
    figures = join(_one(folder, story, steps, ceiling, key, axis) for axis in AXES)
    lead = "The same training, counted three ways. Only the last two say what it cost."
    data = details("The numbers behind the curves", _numbers(story, key))
    content = join([_legend(folder, story, roles), Html(f'<div class="three">{figures}</div>'), data])
    return section("Curves", esc(lead), content, "curves")


def schedule(folder: Folder, story: History) -> Html:
    """Learning rate, kept share and speed over the epochs."""
    speed = line(story.epochs, "epochs", lambda row: row.get("images_per_second"))
    kept = line(story.epochs, "epochs", lambda row: row.get("kept_share")) if story.selected() else []
    rates, _ = thinned(story.steps, "lr", POINTS)
    panels = [
        ("lr", Panel("learning rate", [("other", line(rates, "epochs", lambda row: row.get("lr")))]),
         "The learning rate of each step."),
        ("kept", Panel("kept share, %", [("other", kept)], percent=True),
         "The share of candidate samples that were trained on, for each epoch."),
        ("speed", Panel("images per second", [("other", speed)]), "Training images per second, for each epoch."),
    ]  # fmt: skip
    figures = [
        _figure(
            plot(
                name, [panel], "epochs", text, bands=story.stages(folder.plan, "epochs"),
                marks=_resumed(story, "epochs", 1.0), whole_x=True,
            )
        )
        for name, panel, text in panels
        if panel.lines[0][1]
    ]  # fmt: skip
    if not figures:
        return Html("")
    lead = "What the plan and the selection did meanwhile. The table of the curves holds these numbers too."
    return section("Schedule", esc(lead), Html(f'<div class="three">{join(figures)}</div>'), "schedule")


def _one(folder: Folder, story: History, steps: Sequence[Mark], ceiling: float | None, key: str, axis: Axis) -> Html:
    scale, unit = _scale(story, axis)
    loss, metric = _loss(story, steps, ceiling, axis), _metric(folder, story, key, axis)
    panels = [_scaled(panel, scale) for panel in (loss, metric) if any(points for _, points in panel.lines)]
    if not panels:
        return Html("")
    bands = [(begin / scale, end / scale, label) for begin, end, label in story.stages(folder.plan, axis)]
    drawing = plot(
        f"curves-{axis}", panels, unit, _description(panels), bands=bands, marks=_resumed(story, axis, scale),
        whole_x=axis == "epochs",
    )  # fmt: skip
    return _figure(drawing)


def _figure(drawing: Html) -> Html:
    return Html(f"<figure>{drawing}</figure>\n")


def _scale(story: History, axis: Axis) -> tuple[float, str]:
    if axis != "seconds":
        return 1.0, {"epochs": "epochs", "fee": "FEE (full-epoch equivalents)"}[axis]
    longest = max((mark.seconds or 0.0 for mark in (*story.steps[-1:], *story.epochs[-1:])), default=0.0)
    return next(((scale, unit) for least, scale, unit in TIME if longest >= least), (1.0, "seconds"))


def _scaled(panel: Panel, scale: float) -> Panel:
    lines = [(role, [(x / scale, y) for x, y in points]) for role, points in panel.lines]
    star = (panel.star[0] / scale, panel.star[1]) if panel.star else None
    return Panel(panel.name, lines, panel.percent, star, panel.top, panel.log)


def _loss(story: History, shown: Sequence[Mark], ceiling: float | None, axis: Axis) -> Panel:
    def loss(row: Mapping[str, Any]) -> object:
        return row.get("loss")

    steps, means = line(shown, axis, loss), line(story.epochs, axis, loss)
    val = line(story.evaluated("val"), axis, lambda row: dig(row, "scalars", "loss"))
    lines: list[tuple[Role, Line]] = [("steps", steps), ("train", means), ("val", val)]
    top = None if ceiling is None else max([ceiling, *(y for _, y in means + val)])
    return Panel("loss", lines, top=None if top is None else top + 0.05 * abs(top))


def _ceiling(losses: Sequence[float]) -> float | None:
    """Cuts the highest hundredth of the single steps off, so that one spike does not flatten the curve."""
    if len(losses) < 200:
        return None
    ordered = sorted(losses)
    top = ordered[int(0.99 * (len(ordered) - 1))]
    return top if top > ordered[0] else None


def _metric(folder: Folder, story: History, key: str, axis: Axis) -> Panel:
    train = line(story.epochs, axis, lambda row: row.get(key))
    lines: list[tuple[Role, Line]] = [("train", train)]
    for split in SPLITS:
        lines.append((split, line(story.evaluated(split), axis, lambda row: dig(row, "scalars", key))))
    percent = "loss" not in key and all(0 <= y <= 1 for _, points in lines for _, y in points)
    star = _star(folder, story, key, axis)
    return Panel(f"{units.title(key)}{', %' if percent else ''}", lines, percent, star)


def _star(folder: Folder, story: History, key: str, axis: Axis) -> tuple[float, float] | None:
    """The model that was handed over: on the validation curve, or at its test result where there is none."""
    epoch = number(dig(folder.result, "best", "epoch"))
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


def _resumed(story: History, axis: Axis, scale: float) -> list[float]:
    return [x / scale for mark in story.resumes if (x := mark.at(axis)) is not None]


def _description(panels: Sequence[Panel]) -> str:
    said = []
    for panel in panels:
        for role, points in panel.lines:
            if points and role != "steps":
                said.append(f"{panel.name} on {role}: {points[0][1]:.4g} at first, {points[-1][1]:.4g} at the end")
    return "; ".join(said) + "."


def _roles(story: History) -> list[Role]:
    return ["train", *(split for split in SPLITS if story.evaluated(split))]


def _legend(folder: Folder, story: History, roles: Sequence[Role]) -> Html:
    names = {"train": "training, mean of an epoch", "val": "validation", "test": "test"}
    items = [f"<li>{swatch(role)}{names[role]}</li>" for role in roles]
    if story.steps:
        items.append(f"<li>{swatch('steps')}training, single steps</li>")
    if dig(folder.result, "best", "epoch") is not None:
        items.append('<li><span class="key star" aria-hidden="true">★</span>model handed over</li>')
    if story.resumes:
        items.append('<li><span class="key resume" aria-hidden="true"></span>resumed</li>')
    if len(story.stages(folder.plan, "epochs")) > 1:
        items.append('<li><span class="key band" aria-hidden="true"></span>stages (image side)</li>')
    return Html(f'<ul class="legend">{"".join(items)}</ul>')


def _numbers(story: History, key: str) -> Html:
    rates = {int(mark.row["epoch"]): number(mark.row.get("lr")) for mark in story.steps if _countable(mark)}
    values = {split: {mark.epochs: mark.row for mark in story.evaluated(split)} for split in SPLITS}
    head = ["after epoch", "seconds", "FEE", "EE", "loss", units.title(key)]
    head += [f"{split} {units.title(key)}" for split in SPLITS if values[split]]
    head += ["learning rate", "kept share", "images/s"]
    rows = []
    for mark in spread(story.epochs, ROWS):
        row = mark.row
        cells = [_cell(mark.epochs, units.plain(mark.epochs)), _time(mark.seconds), _epochs(mark.fee)]
        cells += [_epochs(number(row.get("effective_epochs"))), _metric_cell("loss", row.get("loss"))]
        cells.append(_metric_cell(key, row.get(key)))
        for split in SPLITS:
            if values[split]:
                cells.append(_metric_cell(key, dig(values[split].get(mark.epochs), "scalars", key)))
        rate, kept, speed = (
            rates.get(int(mark.epochs) - 1), number(row.get("kept_share")), number(row.get("images_per_second")),
        )  # fmt: skip
        cells.append(empty() if rate is None else _cell(rate, f"{rate:.4g}"))
        cells.append(empty() if kept is None else _cell(kept, units.share(kept)))
        cells.append(empty() if speed is None else _cell(speed, units.count(speed)))
        rows.append(cells)
    note = "" if len(story.epochs) <= ROWS else f'<p class="note">{ROWS} of {len(story.epochs)} epochs.</p>'
    return join([table(head, rows, "Numbers of each epoch", kind="wide", left=0), Html(note)])


def _countable(mark: Mark) -> bool:
    return whole(mark.row.get("epoch")) is not None


def _cell(raw: float, text: str) -> Html:
    return td(esc(text), raw)


def _time(value: float | None) -> Html:
    return empty() if value is None else _cell(value, units.duration(value))


def _epochs(value: float | None) -> Html:
    return empty() if value is None else _cell(value, units.epochs(value))


def _metric_cell(key: str, value: object) -> Html:
    known = number(value)
    return empty() if known is None else _cell(known, units.metric(key, known))
