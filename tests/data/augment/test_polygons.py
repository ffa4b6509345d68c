"""What a view shows of a box."""

from __future__ import annotations

import pytest

from fewer.data.augment.polygons import seen

SAME = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
FRAME = (0.0, 0.0, 8.0, 8.0)


@pytest.mark.parametrize("box", [(9.0, 2.0, 12.0, 4.0), (2.0, -3.0, 4.0, 0.0), (2.0, 2.0, 2.0, 5.0)])
def test_of_a_box_outside_or_without_area_nothing_is_seen(box: tuple[float, float, float, float]) -> None:
    assert seen(box, FRAME, SAME, 8, 8) == ((0.0, 0.0, 0.0, 0.0), 0.0)


def test_a_box_that_reaches_out_is_cut_and_its_share_told() -> None:
    assert seen((6.0, 2.0, 10.0, 4.0), FRAME, SAME, 8, 8) == ((6.0, 2.0, 8.0, 4.0), 0.5)
