"""Requests that are tried again: in growing intervals, with jitter, for as long as somebody wants to wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar, final

from fewer.runs.remote.bucket import Outage

_Result = TypeVar("_Result")
_FIRST_SECONDS, _LONGEST_SECONDS = 0.25, 30.0
_JITTER = random.SystemRandom()  # never a stream that training draws from


def delay_seconds(tries: int, longest: float = _LONGEST_SECONDS) -> float:
    """How long to wait behind so many tries: twice as long each time, and between half of that and all of it."""
    whole = min(longest, _FIRST_SECONDS * float(2 ** min(tries - 1, 20)))
    return whole * _JITTER.uniform(0.5, 1.0)


@final
class Tries:
    """So many tries; only an outage is worth a further one.

    Args:
        most: The number of tries.
    """

    def __init__(self, most: int = 6) -> None:
        self._most = most

    def __call__(self, action: Callable[[], _Result]) -> _Result:
        for tries in range(1, self._most):
            try:
                return action()
            except Outage:
                time.sleep(delay_seconds(tries))
        return action()
