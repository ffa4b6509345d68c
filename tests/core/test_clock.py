"""Durations: with a unit, read back as they are written."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fewer.core.clock import Duration


@pytest.mark.parametrize("text", ["5", "ep", "-1ep", "101%", "3 epochs", ""])
def test_a_duration_needs_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|percentage"):
        Duration.parse(text)


@given(st.floats(0, 100) | st.integers(0, 10**9).map(float), st.sampled_from(["ep", "%", "step", "min"]))
def test_durations_read_back_what_they_write(value: float, unit: str) -> None:
    """To the last digit: a resumed run reads its schedule from what was written."""
    duration = Duration(value, unit)  # type: ignore[arg-type]
    assume(unit != "%" or value <= 100)
    assert Duration.parse(str(duration)) == duration


def test_durations_are_written_as_people_do() -> None:
    assert [str(Duration.parse(text)) for text in ("2ep", "12.5%", "1000000step", "0.10ep", "33.33333333%")] == [
        *("2ep", "12.5%", "1000000step", "0.1ep", "33.33333333%")
    ]
    with pytest.raises(ValueError, match="at most 1,000,000,000"):
        Duration.parse("9" * 400 + "step")
