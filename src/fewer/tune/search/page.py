"""HTML page of a search: self-contained, a pure function of `tune.json`, in the style of a run's report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fewer.core.evaluation import Metric
from fewer.recipe.search_section import Axis, axes_asked
from fewer.report import units
from fewer.report.charts import NAMES, NO_NUMBERS, Chart, Panel, Role, Spot
from fewer.report.markup import Html, empty, esc, join, name, section, table, td
from fewer.report.metrics import Metrics
from fewer.report.page import frame, glossary
from fewer.report.plots import svg
from fewer.report.styles import swatch
from fewer.tune.search.trials import ranked, trial_of

Found = Mapping[str, Any]
LISTED = 500  # trials in the table
DRAWN = 200  # trials in a plot
_ROLES: tuple[Role, ...] = ("complete", "pruned")
GLOSSARY = (
    ("trial", "The recipe, trained once with one set of values."),
    ("FEE", "Full-epoch equivalents: the arithmetic of the whole training, in units of one plain epoch of the recipe "
            "without a search, so that trials of other models and image sides compare."),
    ("pruned", "Ended early: its best so far was worse than the median of what complete trials had reached at the "
               "same cost."),
    ("diverged", "Its loss was no longer finite."),
)  # fmt: skip
STYLE = """
.pair{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));gap:1rem}
.found{color:var(--ok);font-weight:600}
"""


def search_page(found: Found) -> str:
    """The whole page.

    Args:
        found: The content of `tune.json`.
    """
    metric = Metrics(found["task"])[found["metric"]]
    parts = [
        _head(found, metric),
        section("Keys", esc("What each value reached. A key whose points lie level matters little."),
                _keys(found, metric), "keys"),
        section("Cost", esc("What trials had reached, and for how much."), _costs(found, metric), "cost"),
        section("Trials", esc("All of them, the best first."), _trials(found, metric), "trials"),
        glossary(GLOSSARY),
    ]  # fmt: skip
    return frame(f"{found['recipe']}, tuned", join(parts), STYLE)


def caution(found: Found) -> str:
    """What the best value is worth."""
    return (
        f"The best of {len(found['trials'])} by the {found['images']:,} images that chose it: part of it is luck. The "
        "test images were never looked at; they tell what it is worth, once."
    )


def spent(found: Found) -> str:
    """The cost of the whole search."""
    time = units.duration(found["seconds"])
    return f"{found['full_epoch_equivalents']:.4g} FEE and {time} in all, {found['runs']:.3g} runs of the recipe"


def counts(found: Found) -> str:
    """How the trials ended: `12 done, 7 pruned, 1 failed`."""
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(found["outcomes"].items()))


def _head(found: Found, metric: Metric) -> Html:
    best = None if found["best"] is None else trial_of(found, found["best"])
    facts = [
        ("decides", f"{metric.label} on validation"),
        ("images", f"{found['images']:,}"),
        ("trials", counts(found)),
        ("search", spent(found)),
        ("values", f"{found['sampler']}, seed {found['seed']}, {'pruned' if found['prunes'] else 'not pruned'}"),
        ("study", f"{found['study']}, {found['storage']}"),
    ]
    items = join(Html(f"<div><dt>{esc(key)}</dt><dd>{esc(value)}</dd></div>") for key, value in facts)
    over = sum(count for outcome, count in found["outcomes"].items() if outcome != "begun")
    state = (
        f' <span class="state running">{over:,} of {found["asked"]:,} trials</span>' if over < found["asked"] else ""
    )
    headline = "No trial is done yet."
    if best:
        values = ", ".join(f"{key} = {value}" for key, value in best["values"].items())
        headline = f"{metric.text(best['value'])} with {values} (trial {best['number']})."
    return Html(
        f'<header class="top"><p class="brand">fewer · search</p><h1><bdi>{esc(found["recipe"], 120)}</bdi>{state}</h1>'
        f'<p class="headline">{esc(headline, 1000)}</p><p class="state-note">{esc(caution(found))}</p>'
        f'<dl class="facts">{items}</dl></header>\n'
    )


def _trials(found: Found, metric: Metric) -> Html:
    keys = list(found["space"])
    head = ["trial", *keys, "outcome", f"{metric.label}", "FEE", "time"]
    rows = []
    for trial in ranked(found, metric)[:LISTED]:
        is_best = trial["number"] == found["best"]
        outcome = f"{trial['outcome']}: {trial['message']}" if trial["message"] else trial["outcome"]
        value, fee, seconds = trial["value"], trial["full_epoch_equivalents"], trial["seconds"]
        rows.append(
            [
                td(esc(trial["number"])),
                *(td(name(trial["values"].get(key, units.DASH))) for key in keys),
                Html(f'<td class="{"found" if is_best else ""}">{esc("best" if is_best else outcome, 400)}</td>'),
                empty() if value is None else td(esc(metric.text(value)), value),
                td(esc(f"{fee:.2f}"), fee) if seconds else empty(),
                td(esc(units.duration(seconds)), seconds) if seconds else empty(),
            ]
        )
    return table(head, rows, "Trials", kind="wide", left=len(keys) + 2)


# --- Charts ------------------------------------------------------------------------------------------------------


def _legend() -> Html:
    items = join(Html(f"<li>{swatch(role)}{NAMES[role]}</li>") for role in _ROLES)
    return Html(f'<ul class="legend">{items}<li><span class="key star">★</span>best</li></ul>')


def _figures(charts: Sequence[Chart]) -> Html:
    return join(Html(f"<figure>{svg(chart)}</figure>\n") for chart in charts)


def _costs(found: Found, metric: Metric) -> Html:
    return Html(f'{_legend()}<p class="note">{esc(spent(found))}</p>{_figures([cost_chart(found, metric)])}')


def _keys(found: Found, metric: Metric) -> Html:
    charts = [key_chart(found, metric, key, index) for index, key in enumerate(found["space"])]
    return Html(f'{_legend()}<div class="pair">{_figures(charts)}</div>')


def _drawn(found: Found, metric: Metric) -> list[Mapping[str, Any]]:
    """The trials that have a value: the best ones, where there are too many."""
    return [trial for trial in ranked(found, metric) if trial["value"] is not None][:DRAWN]


def cost_chart(found: Found, metric: Metric) -> Chart:
    """The metric of each trial's validations against its cost so far."""
    shown = _drawn(found, metric)
    lines = [(_role(trial), [(cost, value) for cost, value in trial["curve"]]) for trial in shown if trial["curve"]]
    star = None
    if found["best"] is not None:
        best = trial_of(found, found["best"])
        at = [cost for cost, value in best["curve"] if value == best["value"]]
        star = (at[0], best["value"]) if at else None
    text = f"{len(lines)} trials, against full-epoch equivalents"
    return Chart("cost", [_panel(metric, lines, (), star)], "FEE (full-epoch equivalents)", text, NO_NUMBERS)


def key_chart(found: Found, metric: Metric, key: str, index: int) -> Chart:
    """The metric of each trial against one key: values of a list side by side, those of a range on their scale."""
    (axis,) = axes_asked([f"{key}={found['space'][key]}"])
    spots, star = [], None
    for trial in _drawn(found, metric):
        x = _place(axis, trial["values"][key])
        value = trial["value"]
        spots.append(Spot(_role(trial), x, value, value, value))
        if trial["number"] == found["best"]:
            star = (x, value)
    text = "; ".join(f"{trial['values'][key]}: {metric.text(trial['value'])}" for trial in _drawn(found, metric))
    return Chart(f"key-{index}", [_panel(metric, (), spots, star)], key, text, NO_NUMBERS, ticks=list(_ticks(axis)))


def _panel(metric: Metric, lines: Sequence[Any], spots: Sequence[Spot], star: tuple[float, float] | None) -> Panel:
    percent = metric.is_share
    return Panel(f"{metric.label}{', %' if percent else ''}", list(lines), percent, star, spots=spots)


def _role(trial: Mapping[str, Any]) -> Role:
    return "complete" if trial["outcome"] == "done" else "pruned"


def _place(axis: Axis, value: str) -> float:
    """Where a value stands on its axis."""
    if axis.choices:
        return float(axis.choices.index(value))
    number = float(value.removesuffix(axis.unit))
    return math.log10(number) if axis.log else number


def _ticks(axis: Axis) -> Iterator[tuple[float, str]]:
    """The places that are named: all of a list, decades of a range by ratios, else five in equal steps."""
    if axis.choices:
        yield from (
            (float(place), value if len(value) <= 12 else f"{value[:11]}…") for place, value in enumerate(axis.choices)
        )
        return
    low, high = (math.log10(end) if axis.log else end for end in (axis.low, axis.high))
    decades = [float(power) for power in range(math.ceil(low), math.floor(high) + 1)]
    places = decades if axis.log and len(decades) > 2 else [low + (high - low) * step / 4 for step in range(5)]
    for place in places:
        yield place, f"{10**place if axis.log else place:.3g}{axis.unit}"
