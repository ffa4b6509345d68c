"""The ledger of each rank: what it loaded and sent, how long it waited, and how much memory it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.core.ledger import TRAINING
from fewer.report import units
from fewer.report.load import Folder
from fewer.report.markup import Html, empty, esc, table, td
from fewer.report.values import dig, mapping, number, sequence

_HEAD = ["rank", "images/s", "waiting for images", "waiting for ranks", "sent", "peak memory", "peak memory of the GPU"]


def rank_costs(folder: Folder) -> Html:
    """A table with a row a rank; nothing for one rank alone, or before the run's end."""
    ranks = [mapping(rank) for rank in sequence(dig(folder.result, "ledger", "ranks"))]
    if len(ranks) < 2:
        return Html("")
    rows = [_row(place, rank) for place, rank in enumerate(ranks)]
    return Html(f"<h3>Ranks</h3>{table(_HEAD, rows, 'Ledger of each rank', kind='ledger')}")


def _row(place: int, rank: Mapping[str, Any]) -> list[Html]:
    seconds = {name: number(dig(rank, "seconds", name)) or 0.0 for name in TRAINING}
    total, loaded = sum(seconds.values()), number(rank.get("samples_loaded"))
    rate = loaded / total if total and loaded is not None else None
    shares = (seconds[name] / total if total else None for name in ("data_wait", "sync"))
    return [
        td(esc(str(place)), place),
        empty() if rate is None else td(esc(units.count(rate)), rate),
        *(empty() if share is None else td(esc(units.share(share)), share) for share in shares),
        *(_bytes(number(rank.get(key))) for key in ("bytes_sent", "peak_memory_bytes", "peak_device_memory_bytes")),
    ]


def _bytes(value: float | None) -> Html:
    return td(esc(units.amount(value, "B")), value) if value else empty()
