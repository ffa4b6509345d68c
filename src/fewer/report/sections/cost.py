"""The ledger: what the plan predicted beside what was spent, and where the seconds went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fewer.core.ledger import PHASES
from fewer.report import units
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, empty, esc, join, section, table, td
from fewer.report.sections.rank_costs import rank_costs
from fewer.report.sections.stage_costs import stage_costs
from fewer.report.sections.summary import cost
from fewer.report.values import dig, mapping, number

Format = Callable[[float], str]
FORMATS: tuple[tuple[str, str, Format], ...] = (
    ("full_epoch_equivalents", "full-epoch equivalents (FEE)", units.epochs),
    ("effective_epochs", "effective epochs (EE)", units.epochs),
    ("seconds", "seconds in all", units.duration),
    ("flops", "arithmetic", lambda value: units.amount(value, "FLOP")),
    ("samples_loaded", "samples loaded", units.count),
    ("samples_decoded", "samples decoded", units.count),
    ("samples_forwarded", "samples forwarded", units.count),
    ("samples_backpropagated", "samples backpropagated", units.count),
    ("decoded_pixels", "decoded pixels", units.count),
    ("optimizer_steps", "optimizer steps", units.count),
    ("bytes_sent", "sent between workers, in all", lambda value: units.amount(value, "B")),
    ("peak_memory_bytes", "peak memory", lambda value: units.amount(value, "B")),
    ("peak_device_memory_bytes", "peak memory of the GPU", lambda value: units.amount(value, "B")),
)


def ledger(folder: Folder, story: History) -> Html:
    """The section: one table, one bar, and a table of the stages where there are several."""
    low, high = _predicted(folder)
    spent = _spent(folder, story)
    finished = bool(mapping(folder.result.get("ledger")))
    rows = [
        _row(name, form, low.get(key), high.get(key), spent.get(key), finished)
        for key, name, form in FORMATS
        if key in low or key in high or key in spent
    ]
    if not rows:
        return Html("")
    head = ["", "predicted", *(["spent", "difference"] if finished else ["spent so far"])]
    content = table(head, rows, "Ledger: predicted and spent", kind="ledger")
    lead = "The plan's prediction before the first step, and the counts of the run."
    content = Html(
        f'<div class="two uneven"><div>{content}</div>{_seconds(folder)}</div>{stage_costs(folder)}{rank_costs(folder)}'
    )
    return section("Ledger", esc(lead), content, "ledger")


def _predicted(folder: Folder) -> tuple[Mapping[str, float], Mapping[str, float]]:
    predicted = mapping(folder.plan.get("predicted")) or mapping(folder.result.get("predicted"))
    if "low" in predicted or "high" in predicted:
        low, high = _flat(predicted.get("low")), _flat(predicted.get("high"))
        return low or high, high or low
    return _flat(predicted), _flat(predicted)


def _spent(folder: Folder, story: History) -> Mapping[str, float]:
    found = dict(_flat(folder.result.get("ledger")))
    now = cost(folder, story)
    for key, name in (("full_epoch_equivalents", "fee"), ("effective_epochs", "ee"), ("seconds", "seconds")):
        value = now[name]
        if value is not None:
            found.setdefault(key, value)
    if not found.get("peak_device_memory_bytes"):
        found.pop("peak_device_memory_bytes", None)  # there is no GPU
    return found


def _flat(value: object) -> Mapping[str, float]:
    """The ledger's numbers by key; of the seconds, their sum."""
    entries = mapping(value)
    found = {str(key): known for key, entry in entries.items() if (known := number(entry)) is not None}
    total = number(dig(entries, "seconds", "total"))
    return found if total is None else {**found, "seconds": total}


def _row(
    name: str, form: Format, low: float | None, high: float | None, spent: float | None, finished: bool
) -> list[Html]:
    cells = [td(esc(name)), _interval(form, low, high), _plain(form, spent)]
    return [*cells, _difference(low, high, spent)] if finished else cells


def _plain(form: Format, value: float | None) -> Html:
    return empty() if value is None else td(esc(form(value)), value)


def _interval(form: Format, low: float | None, high: float | None) -> Html:
    if low is None or high is None or form(low) == form(high):
        return _plain(form, low if low is not None else high)
    begin, end = form(low), form(high)
    number_, _, unit = begin.partition(units.NBSP)
    if unit and unit == end.partition(units.NBSP)[2] and units.NBSP not in unit:
        begin = number_  # 6.10 – 8.90 TFLOP: the unit once
    return td(esc(f"{begin} – {end}"), f"{low} – {high}")


def _difference(low: float | None, high: float | None, spent: float | None) -> Html:
    """How far the spending lies outside the predicted interval."""
    if spent is None or low is None or high is None:
        return empty()
    bound = low if spent < low else high if spent > high else spent
    if spent == bound:
        return td(esc("as predicted" if low == high else "within"), spent - bound)
    if bound == 0:
        return td(esc("more"), spent)
    share = 100 * (spent - bound) / abs(bound)
    text = f"{share:+.1f}" if abs(share) < 1000 else f"{share:+,.0f}"
    return td(esc(f"{text}{units.NBSP}%".replace("-", "−")), spent - bound)


def _seconds(folder: Folder) -> Html:
    entries = mapping(dig(folder.result, "ledger", "seconds"))
    parts = _parts(entries)
    total = sum(value for _, value in parts)
    if total <= 0:
        return Html("")
    shares = ", ".join(f"{_title(key)} {units.share(value / total)}" for key, value in parts)
    bar = join(_segment(i, key, value, total) for i, (key, value) in enumerate(parts))
    rows = [
        [
            td(Html(f'<span class="chip c{i % 8}" aria-hidden="true"></span>{esc(_title(key), 40)}')),
            td(esc(units.duration(value)), value),
            td(esc(units.share(value / total)), value / total),
        ]
        for i, (key, value) in enumerate(parts)
    ]
    return Html(
        f'<div><h3>Where the seconds went</h3><div class="bar" role="img" aria-label="{esc(shares)}">{bar}</div>'
        f"{table(['part', 'time', 'share'], rows, 'Seconds by part', kind='ledger')}</div>"
    )


def _parts(entries: Mapping[str, Any]) -> list[tuple[str, float]]:
    names = [*PHASES, *(key for key in entries if key not in PHASES and key != "total")]
    parts = [(name, number(entries.get(name)) or 0.0) for name in names]
    return [(name, value) for name, value in parts if value > 0][:16]


def _segment(i: int, key: str, value: float, total: float) -> Html:
    share = value / total
    text = esc(_title(key)) if share > 0.12 else Html("")
    return Html(
        f'<span class="c{i % 8}" style="flex-grow:{share:.4f}" '
        f'title="{esc(_title(key))}: {esc(units.duration(value))}">{text}</span>'
    )


def _title(key: str) -> str:
    return key.replace("_", " ")
