"""Numbers as a person reads them. A no-break space stands between number and unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewer.core.evaluation import Metric

NBSP = "\u00a0"
DASH = "–"


def count(value: float) -> str:
    """1,438 · 24.6 k · 1.97 M."""
    return _scaled(value, "") if abs(value) >= 10_000 else f"{value:,.0f}"


def amount(value: float, unit: str) -> str:
    """1.97 GFLOP · 512 MB: three significant digits and a decimal prefix."""
    return _scaled(value, unit)


def _scaled(value: float, unit: str) -> str:
    for power, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power * 0.9995:
            return f"{_significant(value / power)}{NBSP}{prefix}{unit}"
    return f"{value:,.0f}{NBSP}{unit}".rstrip(NBSP)


def _significant(value: float) -> str:
    size = abs(value)
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """0.42 s · 214 s · 12 min 05 s · 3 h 20 min."""
    if abs(seconds) < 9.95:
        return f"{seconds:.2f}{NBSP}s" if seconds else f"0{NBSP}s"
    if abs(seconds) < 99.95:
        return f"{seconds:.1f}{NBSP}s"
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    if left < 300:
        return f"{sign}{left:.0f}{NBSP}s"
    if left < 7200:
        minutes, rest = divmod(round(left), 60)
        return f"{sign}{minutes}{NBSP}min{NBSP}{rest:02d}{NBSP}s"
    hours, rest = divmod(round(left / 60), 60)
    return f"{sign}{hours:,}{NBSP}h{NBSP}{rest:02d}{NBSP}min"


def clock(seconds: float) -> str:
    """0:42 · 12:05 · 3h20: short enough for a column."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def roughly(seconds: float) -> str:
    """A time ahead, no more exact than it can be known: less than a minute, about 12 minutes, about 3.5 hours."""
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return "less than a minute" if seconds < 55 else "about a minute"
    return f"about {minutes} minutes" if minutes < 120 else f"about {seconds / 3600:.1f} hours"


def roughly_between(low: float, high: float) -> str:
    """Two times ahead, such as `about 12 to 15 minutes`, or `less than a minute to about 3 minutes`."""
    one, other = roughly(low), roughly(high)
    if one == other:
        return one
    if one.split()[0] == other.split()[0] and one.split()[-1] == other.split()[-1]:
        return f"{one.rpartition(' ')[0]} to {other.partition(' ')[2]}"
    return f"{one} to {other}"


def share(value: float) -> str:
    """93.1 %."""
    return f"{100 * value:.1f}{NBSP}%"


def epochs(value: float) -> str:
    """6.2 · 0.05: full-epoch equivalents or effective epochs."""
    return f"{value:,.2f}" if abs(value) < 1 else f"{value:,.1f}"


def plain(value: float) -> str:
    """A number whose unit is unknown: four significant digits, integers whole."""
    if abs(value) >= 10_000:
        return count(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def metric(kind: Metric, value: float) -> str:
    """A share that lies in [0, 1] (top-1, F1, mIoU) as a percentage, others (losses) as numbers."""
    if kind.is_share and 0 <= value <= 1:
        return share(value)
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
