"""Reading JSON that may be damaged: each function gives a value of the type that it names, or an empty one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def number(value: object) -> float | None:
    """A finite number, or None for anything else (text, null, NaN, truth values, integers beyond a float)."""
    if type(value) is float:  # by far the most frequent: a run has hundreds of thousands
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def whole(value: object) -> int | None:
    """An integer, or None."""
    result = number(value)
    return None if result is None else int(result)


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[Any]:
    """A JSON array, or an empty one."""
    return value if isinstance(value, list) else []


def dig(value: object, *keys: str) -> object:
    """The value under nested keys, or None where the path ends early."""
    for key in keys:
        value = mapping(value).get(key)
    return value


def thin(values: Sequence[float], limit: int) -> list[int]:
    """The places of at most `limit` values: the lowest and the highest of each bucket, so that no spike is lost."""
    size = len(values)
    if size <= limit:
        return list(range(size))
    buckets = max(limit // 2, 1)
    kept: list[int] = []
    for i in range(buckets):
        places = range(i * size // buckets, (i + 1) * size // buckets)
        kept += sorted({min(places, key=values.__getitem__), max(places, key=values.__getitem__)})
    return kept


def brief(value: float) -> str:
    """A small number in few characters: 2.5e-4 in place of 0.00025."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"
