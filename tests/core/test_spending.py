"""Budgets in their units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.spending import Spending, seconds_of


@given(st.floats(1e-6, 10.0), st.sampled_from(["share", "flop", "min", "h"]))
def test_what_is_written_is_read_again(value: float, unit: str) -> None:
    spending = Spending(float(f"{value:.12g}"), unit)  # type: ignore[arg-type]
    if "e-" not in str(spending):  # such small ones nobody writes
        assert Spending.parse(str(spending)) == spending


def test_a_budget_has_a_unit_and_bounds() -> None:
    assert Spending.parse("1e15flop") == Spending(1e15, "flop")
    assert str(Spending.parse("1e15flop")) == "1e15flop"
    assert Spending.parse(" 0.6 ") == Spending(0.6, "share")
    assert [Spending.parse(text).seconds for text in ("90min", "1.5h", "0.6")] == [5400, 5400, None]
    assert [seconds_of(Spending(2, "h")), seconds_of("off")] == [7200, None]
    for bad in ("", "half", "0", "0flop", "1e31flop", "30", "3ep", "-1", "60%"):
        with pytest.raises(ValueError, match="a budget is"):
            Spending.parse(bad)
