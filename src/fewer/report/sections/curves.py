"""The sections with the plots, a table under each: what training reached, and what drove it."""

from __future__ import annotations

from collections.abc import Sequence

from fewer.report.charts import NAMES, Chart, Numbers, best, curve_charts, schedule_charts, star_name
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, details, empty, esc, join, section, table, td
from fewer.report.plots import svg
from fewer.report.styles import STYLES, swatch


def curves(folder: Folder, story: History) -> Html:
    """Loss and metric, three times."""
    charts = curve_charts(folder, story)
    if not charts:
        return Html("")
    lead = "The same training, counted three ways. Only the last two say what it cost."
    return section("Curves", esc(lead), join([_legend(folder, charts[0]), figures(charts)]), "curves")


def schedule(folder: Folder, story: History) -> Html:
    """Learning rate, momentum, kept share and speed over the epochs."""
    charts = schedule_charts(folder, story)
    if not charts:
        return Html("")
    lead = "What the plan and the selection did meanwhile."
    return section("Schedule", esc(lead), figures(charts), "schedule")


def figures(charts: Sequence[Chart]) -> Html:
    """Plots side by side, a table under each."""
    figures = join(Html(f"<figure>{svg(chart)}{_numbers(chart)}</figure>\n") for chart in charts)
    return Html(f'<div class="three">{figures}</div>')


def _numbers(chart: Chart) -> Html:
    """The plot as a table."""
    numbers: Numbers = chart.numbers
    rows = [
        [empty() if cell is None else td(esc(cell[1]), cell[0]) for cell in row]
        for row in numbers.rows
    ]  # fmt: skip
    caption = f"{', '.join(panel.name for panel in chart.panels)} against {chart.x_name}"
    shown = table(numbers.head, rows, caption, kind="numbers", left=0)
    some = len(rows) < numbers.total
    note = f'<p class="note">{len(rows)} of {numbers.total:,} {esc(numbers.unit)}.</p>' if some else ""
    return details("Table", join([shown, Html(note)]), label=f"Table: {caption}")


def _legend(folder: Folder, chart: Chart) -> Html:
    items = [f"<li>{swatch(role)}{NAMES[role]}</li>" for role in STYLES if role in chart.roles and role in NAMES]
    if best(folder).get("epoch") is not None:
        items.append(f'<li><span class="key star" aria-hidden="true">★</span>{star_name(folder)}</li>')
    if chart.marks:
        items.append('<li><span class="key resume" aria-hidden="true"></span>resumed</li>')
    if len(chart.bands) > 1:
        items.append('<li><span class="key band" aria-hidden="true"></span>stages (image side)</li>')
    return Html(f'<ul class="legend">{"".join(items)}</ul>')
