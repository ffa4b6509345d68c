"""Base class and field types of recipe sections and plug-in parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from fewer.core.clock import Duration, Period

if TYPE_CHECKING:
    from fewer.core.registry import Registry


def _duration(value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    if not isinstance(value, str):
        raise ValueError('a duration needs a unit: "2ep", "5%", "500step" or "10min"')
    return Duration.parse(value)


def _period(value: object) -> Period:
    found = _duration(value)
    return Period(found.value, found.unit)


def _in_fp32(value: float) -> float:
    """Checks that fp32, which ends at 3e38, holds a number and what scales make of it."""
    if value > _LARGEST:
        raise ValueError(f"numbers go up to {_LARGEST:g}")
    return value


_LARGEST = 1e30
Span = Annotated[Duration, BeforeValidator(_duration), PlainSerializer(str, return_type=str)]
AnyLength = Annotated[Period, BeforeValidator(_period), PlainSerializer(str, return_type=str)]
# Strict: neither "3" nor true is a number. Bounded: a slip of the keyboard must not become hours of planning.
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True), AfterValidator(_in_fp32)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True), AfterValidator(_in_fp32)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Index = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
Epochs = Annotated[int, Field(ge=1, le=32_767, strict=True)]  # the score table stores epochs in 16 bits
Side = Annotated[int, Field(ge=8, le=4096, strict=True)]
Decay = Annotated[float, Field(ge=0, lt=1, strict=True)]  # of a moving average
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Factor = Annotated[float, Field(gt=0, le=10, strict=True)]
Jitter = Annotated[float, Field(ge=0, le=10, strict=True)]
Bounds = tuple[Positive, Positive]
Flag = Annotated[bool, Field(strict=True)]


def ascending(pair: tuple[float, float]) -> tuple[float, float]:
    """Checks that a range is written [low, high]."""
    if pair[0] > pair[1]:
        raise ValueError(f"a range is written [low, high]; did you mean [{pair[1]:g}, {pair[0]:g}]?")
    return pair


class Section(BaseModel):
    """A group of keys, of a recipe or of a plug-in: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    named_parts: ClassVar[Mapping[str, Registry]] = {}
    """Keys that name a plug-in, whose own keys then belong to the section, and the registry that has it."""
    keyed_parts: ClassVar[Registry | None] = None
    """Plug-ins that are asked for by a key of their own name; off at that key's default."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        """Keys that are right one by one but not together, or not in a run of so many epochs.

        Returns:
            Key to a sentence that goes on after `SECTION.KEY = VALUE`, and says what is allowed or names a fix.
        """
        return {}

    def changed(self, keys: Iterable[str], reason: str) -> dict[str, str]:
        """Those of some keys that are not at their default, each with the same reason why it should be."""
        return {key: reason for key in keys if getattr(self, key) != type(self).model_fields[key].default}
