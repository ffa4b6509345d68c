"""The budget of a whole run, with its unit: a share of plain training, arithmetic, or time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer

SpendingUnit = Literal["share", "flop", "min", "h"]
_PATTERN = re.compile(r"\s*(\d+(?:\.\d*)?(?:[eE]\+?\d+)?)\s*(flop|min|h)?\s*")
_SECONDS = {"min": 60.0, "h": 3600.0}
_MOST = {"share": 10.0, "flop": 1e30, "min": 1e6, "h": 2e4}  # a slip of the keyboard must not become hours of planning
_FORMS = 'a budget is a share of plain training such as "0.6", FLOPs such as "1e15flop", or time: "30min", "2h"'


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget with its unit: `"0.6"` of plain training's cost, `"1e15flop"`, `"30min"` or `"2h"`."""

    value: float
    unit: SpendingUnit

    @classmethod
    def parse(cls, text: str) -> Spending:
        """Reads `"0.6"`, `"1e15flop"`, `"30min"` or `"2h"`.

        Raises:
            ValueError: The text has another form, or the budget is nothing or beyond all reason.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(_FORMS)
        value, unit = float(match[1]), match[2] or "share"
        if not 0 < value <= _MOST[unit]:
            raise ValueError(f"{_FORMS}, more than 0 and at most {_MOST[unit]:g}")
        return cls(value, unit)  # type: ignore[arg-type]

    @property
    def seconds(self) -> float | None:
        """The time that it is; None where it is none."""
        return self.value * _SECONDS[self.unit] if self.unit in _SECONDS else None

    def __str__(self) -> str:
        """As it is written in a recipe."""
        return f"{self.value:.15g}".replace("+", "") + ("" if self.unit == "share" else self.unit)


def seconds_of(asked: Spending | Literal["off"]) -> float | None:
    """The time that a budget is; None where it is none, or there is no budget."""
    return asked.seconds if isinstance(asked, Spending) else None


def _spending(value: object) -> object:
    if isinstance(value, Spending) or value == "off":
        return value
    if type(value) in (int, float):  # an override without quotes: train.budget=0.6
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(_FORMS)
    return Spending.parse(value)


Budgeted = Annotated[Spending | Literal["off"], BeforeValidator(_spending), PlainSerializer(str, return_type=str)]
