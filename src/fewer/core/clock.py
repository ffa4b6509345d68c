"""Time as the run sees it: epochs, not steps, and durations that carry their unit.

Selection and batch-size stages make the number of steps in an epoch unknown before the epoch starts, so nothing
is scheduled in steps. Progress is `(epoch + batch / batches) / epochs`, in [0, 1].
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Unit = Literal["ep", "%", "step", "min"]
_LONGEST = 1_000_000_000  # a slip of the keyboard must not become an overflow
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ep|%|step|min)\s*")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of training with its unit: `"30ep"`, `"5%"`, `"500step"` or `"10min"`."""

    value: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Reads `"30ep"`, `"5%"`, `"500step"` or `"10min"`.

        Raises:
            ValueError: The text has no unit, another unit, or a percentage above 100.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError('a duration needs a unit: "2ep", "5%", "500step" or "10min"')
        value, unit = float(match[1]), match[2]
        if value > _LONGEST:
            raise ValueError(f"a duration is at most {_LONGEST:,}")
        if unit == "%" and value > 100:
            raise ValueError("a percentage lies between 0% and 100%")
        return cls(value, unit)  # type: ignore[arg-type]

    def in_epochs(self, epochs: int) -> float:
        """This duration in epochs of a run of `epochs` epochs.

        Raises:
            ValueError: The unit is steps or minutes, which no plan can turn into epochs.
        """
        if self.unit == "ep":
            return self.value
        if self.unit == "%":
            return self.value / 100 * epochs
        raise ValueError(f'"{self}" cannot be known in epochs beforehand; use "ep" or "%"')

    def whole_epochs(self, epochs: int) -> int:
        """This duration in whole epochs: a started one counts, so "5%" of ten epochs is one."""
        return math.ceil(self.in_epochs(epochs) - 1e-9)  # 30 % of 10 is 3, whatever the rounding

    def __str__(self) -> str:
        """As it is written in a recipe, to the last digit: a resumed run reads it again."""
        return f"{Decimal(repr(self.value)).normalize():f}{self.unit}"


class Period(Duration):
    """A duration that may be longer than the run, such as the length of a cosine."""

    __slots__ = ()


@dataclass(slots=True)
class Cursor:
    """Where a run stands: the next candidate batch of an epoch, and the optimizer steps taken so far."""

    epoch: int = 0
    batch: int = 0
    step: int = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "batch": self.batch, "step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
