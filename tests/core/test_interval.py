"""The interval of an accuracy."""

from __future__ import annotations

import pytest

from fewer.core.evaluation import interval


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table 1, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals(right: int, images: int, low: float, high: float) -> None:
    assert interval(right / images, images) == pytest.approx((low, high), abs=5e-5)


def test_of_115_images_an_accuracy_is_known_to_some_points_only() -> None:
    low, high = interval(0.5, 115)
    assert (high - low) / 2 == pytest.approx(0.09, abs=0.001)
