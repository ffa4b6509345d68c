"""Warm-up and bounds of all schedules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.registry import Settings
from fewer.optim.schedules import SCHEDULES
from torch_schedules import rate


@given(
    st.sampled_from([name for name in SCHEDULES.names() if name != "piecewise"]),  # whose points say all of it
    st.floats(0, 1),
    st.sampled_from([0, 5, 50, 100]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_schedule_warms_up_and_stays_in_bounds(
    name: str, progress: float, warmup: int, start: float, final: float
) -> None:
    keys: Settings = {"warmup_start": start, "final": final}
    keys["cycle_peak" if name == "one_cycle" else "warmup"] = f"{warmup}%"
    shape = rate(name, **keys)
    assert -1e-12 <= shape(progress) <= 1 + 1e-12
    if warmup:
        assert shape(0.0) == pytest.approx(start)
