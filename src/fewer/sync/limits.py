"""The times after which ranks give up on each other, from environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fewer.core.errors import RecipeError


@dataclass(frozen=True)  # no slots: they would hide the defaults from `of`
class Limits:
    """Times that ranks wait for each other, in seconds.

    Attributes:
        join: `FEWER_JOIN_TIMEOUT`: until all ranks have met.
        silence: `FEWER_RANK_TIMEOUT`: without a sign of life from a rank, whatever it computes.
        exchange: `FEWER_EXCHANGE_TIMEOUT`: in one exchange with ranks that are alive.
    """

    join: float = 300.0
    silence: float = 60.0
    exchange: float = 1800.0

    @property
    def beat(self) -> float:
        """Between two signs of life."""
        return min(5.0, self.silence / 6)

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The limits that the environment gives.

        Raises:
            RecipeError: One of them is no time.
        """
        return cls(
            _seconds(environment, "FEWER_JOIN_TIMEOUT", cls.join),
            _seconds(environment, "FEWER_RANK_TIMEOUT", cls.silence),
            _seconds(environment, "FEWER_EXCHANGE_TIMEOUT", cls.exchange),
        )


def _seconds(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    text = environment.get(name, "")
    try:
        seconds = float(text) if text else otherwise
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 1e6:
        raise RecipeError(f'{name} is "{text}"; allowed: seconds from 0.1 to 1e6; {name}={otherwise:g} is the default')
    return seconds
