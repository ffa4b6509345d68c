"""The advice of `fewer advise`: the cheapest sync method, why it is, and what it may cost in accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.report.units import NBSP, amount

# Times are known no better than that: of methods that differ by less, the one that changes training least is advised.
MARGIN = 0.03
Row = Mapping[str, Any]


def advice(document: Mapping[str, Any]) -> dict[str, Any]:
    """What to take, in words.

    Args:
        document: What was found: `methods`, from what changes training least to what changes it most, `compute` and
            `workers`.
    """
    rows = document["methods"]
    plain, best = rows[0], cheapest(rows)
    equal = cheapest([row for row in rows if row["keeps_equal"]] or rows)
    return {
        "fastest": min(rows, key=lambda row: row["step_seconds"])["name"],
        "advised": best["name"],
        "keys": keys_of(best),
        "why": _why(plain, best, document["compute"]["step"]),
        "accuracy": _accuracy(plain, best, document["workers"]),
        "advised_with_equal_workers": equal["name"],
        "gentler": "" if equal is best else _gentler(best, equal),
    }


def keys_of(row: Row) -> list[str]:
    """What to add to a command."""
    return [f"sync.{key}={value}" for key, value in row["sync"].items()]


def cheapest(rows: list[Row]) -> Row:
    """The first row that no other is faster than by more than `MARGIN`."""
    least = min(row["step_seconds"] for row in rows)
    return next(row for row in rows if row["step_seconds"] <= (1 + MARGIN) * least)


def _why(plain: Row, best: Row, compute: float) -> str:
    waits = f"waits {milliseconds(plain['waited_seconds'])} for exchanges beside {milliseconds(compute)} of computing"
    if best is plain:
        return f"a step {waits}: to send less saves less than {MARGIN:.0%} of it"
    faster = plain["step_seconds"] / best["step_seconds"]
    less = plain["sent_bytes"] / max(1.0, best["sent_bytes"])
    return (
        f"with {plain['name']} a step {waits}; {best['name']} sends {less:.3g} times less, waits "
        f"{milliseconds(best['waited_seconds'])} and is {faster:.3g} times as fast"
    )


def _accuracy(plain: Row, best: Row, workers: int) -> str:
    if best is plain:
        return "none is lost: it trains as one process does on the whole batch"
    keys = " ".join([f"sync.workers={workers}", *keys_of(best)])
    test = f"`fewer train RECIPE {keys}` shows it on one machine, which simulates all workers"
    if best["keeps_equal"]:
        return f"gradients are approximated, which seldom costs any; {test}"
    steps = best["local_steps"]
    return (
        f"workers train {steps} steps apart, which is another training: the longer the rounds and the more workers, "
        f"the more it can cost; {test}"
    )


def _gentler(best: Row, equal: Row) -> str:
    slower = equal["step_seconds"] / best["step_seconds"]
    return (
        f"of methods whose workers stay equal {equal['name']} is cheapest ({' '.join(keys_of(equal))}): "
        f"{milliseconds(equal['step_seconds'])} a step, {slower:.3g} times as long"
    )


def milliseconds(seconds: float) -> str:
    """A time of a step: 0.12 ms, 45.3 ms, 2.61 s."""
    if seconds >= 1:
        return f"{seconds:.3g}{NBSP}s"
    return f"{1000 * seconds:.3g}{NBSP}ms"


def sent(count: float) -> str:
    """Bytes: 3.29 MB."""
    return amount(count, "B")
