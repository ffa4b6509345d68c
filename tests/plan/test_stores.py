"""How large a store has to be."""

from __future__ import annotations

import pytest

from fewer.plan.stages import stages_of
from fewer.plan.stores import store_side_px
from planning import recipe


@pytest.mark.parametrize(
    ("augment", "sides", "needed"),
    [
        ({}, (96, 128), 128),
        ({}, (100,), 112),
        ({"crop": "random_resized"}, (64, 128), 176),  # 128 / sqrt(0.54) = 174.2
        ({"crop": "random_resized", "crop_scale": [0.35, 1.0]}, (128,), 160),  # 155.8
        ({"crop": "random_resized", "crop_scale": [1.0, 1.0]}, (128,), 128),
    ],
)
def test_a_crop_of_the_median_area_is_not_enlarged(
    augment: dict[str, object], sides: tuple[int, ...], needed: int
) -> None:
    asked = recipe(augment=augment, stages=[{"epochs": 1, "side_px": side} for side in sides])
    assert store_side_px(asked, stages_of(asked, 200)) == needed
