"""The budget of a whole run, with its unit: a share of plain training, or arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer

SpendingUnit = Literal["share", "flop"]
_PATTERN = re.compile(r"\s*(\d+(?:\.\d*)?(?:[eE]\+?\d+)?)\s*(flop)?\s*")
_MOST = {"share": 1e3, "flop": 1e30}  # a slip of the keyboard must not become hours of planning
_FORMS = 'a budget is a share of plain training such as "0.6", or FLOPs such as "1e15flop"'


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget with its unit: `"0.6"` of plain training's cost, or `"1e15flop"`."""

    value: float
    unit: SpendingUnit

    @classmethod
    def parse(cls, text: str) -> Spending:
        """Reads `"0.6"` or `"1e15flop"`.

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

    def __str__(self) -> str:
        """As it is written in a recipe."""
        return f"{self.value:.15g}".replace("+", "") + ("" if self.unit == "share" else self.unit)


def _spending(value: object) -> object:
    if isinstance(value, Spending) or value == "off":
        return value
    if type(value) in (int, float):  # an override without quotes: train.budget=0.6
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(_FORMS)
    return Spending.parse(value)


Budgeted = Annotated[Spending | Literal["off"], BeforeValidator(_spending), PlainSerializer(str, return_type=str)]
