"""When a sitting ends."""

from __future__ import annotations

from datetime import datetime

import pytest

from fewer.core.errors import UsageError
from fewer.core.sitting import end_of_sitting

NOW = datetime(2026, 11, 29, 22, 30, 15)


@pytest.mark.parametrize(
    ("until", "length", "ends"),
    [
        ("", "", None),
        ("07:00", "", datetime(2026, 11, 30, 7)),
        ("23:05", "", datetime(2026, 11, 29, 23, 5)),
        ("22:30", "", datetime(2026, 11, 30, 22, 30)),
        ("2026-12-02T07:00", "", datetime(2026, 12, 2, 7)),
        ("", "90min", datetime(2026, 11, 30, 0, 0, 15)),
        ("", "1.5h", datetime(2026, 11, 30, 0, 0, 15)),
        ("", "45s", datetime(2026, 11, 29, 22, 31)),
    ],
)
def test_a_time_is_the_next_one_and_a_length_counts_from_now(until: str, length: str, ends: datetime | None) -> None:
    assert end_of_sitting(until, length, NOW) == ends


@pytest.mark.parametrize(
    ("until", "length", "said"),
    [
        ("07:00", "2h", "give one of the two"),
        ("7", "", "no moment"),
        ("25:00", "", "no moment"),
        ("2026-11-29T22:00", "", "that moment is over; it is 2026-11-29T22:30 here"),
        ("", "90", "no length"),
        ("", "0min", "no length"),
        ("", "1e9h", "no length"),
        ("", "99999h", "no length"),
    ],
)
def test_what_cannot_be_meant_is_refused(until: str, length: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        end_of_sitting(until, length, NOW)


def test_a_launched_process_may_read_a_moment_that_has_passed() -> None:
    assert end_of_sitting("2026-11-29T22:00", "", NOW, may_be_over=True) == datetime(2026, 11, 29, 22)
