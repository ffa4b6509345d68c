"""The values of a stage's `frozen`, checked without a model and without torch."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

ALL_BUT_HEAD = "all but the head"
BEFORE_LAST_NORM = "all before the last norm"
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def percent(text: str) -> float | None:
    """The number in "50%"; None for any other text."""
    match = _PERCENT.fullmatch(text)
    return float(match[1]) if match else None


def _listed(value: object) -> object:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        words = [each for each in value if percent(each) is not None or each in (ALL_BUT_HEAD, BEFORE_LAST_NORM)]
        if words and len(value) > 1:
            raise ValueError(f'"{words[0]}" stands for all that is frozen; give it alone')
        if any((percent(each) or 0) > 100 for each in value):
            raise ValueError("a share lies between 0% and 100%")
        if not all(each.strip() for each in value):
            raise ValueError('an empty name; give a layer such as "layer1", a share such as "50%", or nothing: []')
    return value


Frozen = Annotated[tuple[str, ...], BeforeValidator(_listed)]
