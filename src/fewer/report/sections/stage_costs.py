"""The ledger of each stage: what it cost beside plain training, as many epochs at the largest side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.report import units
from fewer.report.load import Folder
from fewer.report.markup import Html, empty, esc, table, td
from fewer.report.values import dig, mapping, number, sequence, whole

_HEAD = ["stage", "epochs", "side", "FEE predicted", "FEE spent", "plain FEE", "saved", "samples", "steps", "time"]


def stage_costs(folder: Folder) -> Html:
    """A table with a row a stage; nothing for runs of one stage, or without a ledger."""
    stages, spent = sequence(folder.plan.get("stages")), sequence(dig(folder.result, "ledger", "stages"))
    unit = number(folder.plan.get("plain_epoch_flops"))
    if len(stages) < 2 or not spent or not unit:
        return Html("")
    costs = sequence(folder.plan.get("stage_costs"))
    rows = [
        _row(place, mapping(stages[place]), mapping(each), mapping(costs[place] if place < len(costs) else None), unit)
        for place, each in enumerate(spent[: len(stages)])
    ]
    return Html(f"<h3>Stages</h3>{table(_HEAD, rows, 'Ledger of each stage', kind='ledger')}")


def _row(
    place: int, stage: Mapping[str, Any], spent: Mapping[str, Any], cost: Mapping[str, Any], unit: float
) -> list[Html]:
    first, epochs, side_px = (whole(stage.get(key)) for key in ("first_epoch", "epochs", "side_px"))
    flops, plain = number(spent.get("flops")), number(cost.get("plain_flops"))
    low, high = (number(cost.get(key)) for key in ("low_flops", "high_flops"))
    where = f"{first + 1}–{first + epochs}" if first is not None and epochs else None
    ends = [f"{bound / unit:.2f}" for bound in (low, high) if bound is not None]
    seconds = number(dig(spent, "seconds", "total"))
    return [
        td(esc(str(place + 1))),
        empty() if where is None else td(esc(where), where),
        empty() if side_px is None else td(esc(f"{side_px}{units.NBSP}px"), side_px),
        td(esc(" – ".join(dict.fromkeys(ends))), f"{low} – {high}") if ends else empty(),
        empty() if flops is None else td(esc(f"{flops / unit:.2f}"), flops),
        empty() if plain is None else td(esc(f"{plain / unit:.2f}"), plain),
        td(esc(units.share(1 - flops / plain)), 1 - flops / plain) if flops is not None and plain else empty(),
        *(_count(spent.get(key)) for key in ("samples_backpropagated", "optimizer_steps")),
        empty() if seconds is None else td(esc(units.duration(seconds)), seconds),
    ]


def _count(value: object) -> Html:
    known = number(value)
    return empty() if known is None else td(esc(units.count(known)), known)
