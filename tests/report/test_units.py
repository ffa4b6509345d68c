"""Numbers with their units."""

from __future__ import annotations

import pytest

from fewer.core.evaluation import LOSS
from fewer.report import units
from fewer.tasks.classify.metrics import PRIMARY


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.count(1438), "1,438"), (units.count(1_974_336), "1.97 M"), (units.count(99_960), "100 k"),
        (units.count(999_999), "1.00 M"), (units.amount(7.44e12, "FLOP"), "7.44 TFLOP"), (units.amount(0, "B"), "0 B"),
        (units.duration(0), "0 s"), (units.duration(0.42), "0.42 s"), (units.duration(214), "214 s"),
        (units.duration(725), "12 min 05 s"), (units.duration(12_000), "3 h 20 min"), (units.share(0.931), "93.1 %"),
        (units.clock(42), "0:42"), (units.clock(3599), "59:59"), (units.clock(12_000), "3h20"),
        (units.metric(PRIMARY, 0.931), "93.1 %"), (units.metric(LOSS, 0.2411), "0.241"),
    ],
)  # fmt: skip
def test_units(shown: str, expected: str) -> None:
    assert shown.replace(units.NBSP, " ") == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.count(9_999), "9,999"), (units.count(10_000), "10.0 k"), (units.count(0), "0"),
        (units.amount(999.6, "B"), "1.00 kB"), (units.amount(12_345, "B"), "12.3 kB"), (units.amount(5, "B"), "5 B"),
        (units.amount(2e18, "FLOP"), "2.00 EFLOP"),
        (units.duration(9.94), "9.94 s"), (units.duration(9.96), "10.0 s"), (units.duration(299), "299 s"),
        (units.duration(300), "5 min 00 s"), (units.duration(7199), "119 min 59 s"),
        (units.duration(7200), "2 h 00 min"),
        (units.duration(-400), "-6 min 40 s"),
        (units.epochs(0.05), "0.05"), (units.epochs(6.24), "6.2"), (units.epochs(1234.5), "1,234.5"),
        (units.plain(3), "3"), (units.plain(3.14159), "3.142"), (units.plain(24_600), "24.6 k"),
    ],
)  # fmt: skip
def test_limits_of_the_forms(shown: str, expected: str) -> None:
    assert shown.replace(units.NBSP, " ") == expected
