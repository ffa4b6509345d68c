"""Sides that are drawn batch by batch, beside timm's own schedule."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from fewer.core.ramp import Ramp
from fewer.core.types import Stage

SIDES = (16, 20, 24, 32)


@pytest.mark.parametrize(("spread", "uniform"), [(0.65, 0.1), (0.3, 0.0), (2.0, 1.0), (0.0, 0.2)])
@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_shares_are_those_of_timm(spread: float, uniform: float, epochs: int) -> None:
    data = pytest.importorskip("timm.data")
    if not hasattr(data, "ScheduledBatchSampler"):
        pytest.skip("this timm has no scheduled resolution")
    theirs = data.ScheduledBatchSampler(
        range(100),
        batch_sizes=[10] * len(SIDES),
        choice_schedule="progressive",
        schedule_epochs=epochs,
        schedule_spread=spread,
        schedule_random_mix=uniform,
    )
    ours = Ramp(SIDES, spread, uniform, seed=0)
    for done in range(epochs + 1):  # one more: a run that was made longer stays at its end
        expected = theirs.choice_weights_for_epoch(done).tolist()
        assert ours.shares(done, epochs) == pytest.approx(expected, abs=1e-12)


def test_shares_by_hand() -> None:
    """Two sides, halfway: alike. At both ends exp(-1 / 2) to 1, but for a fifth that is drawn from both alike."""
    ramp = Ramp((16, 32), spread=1.0, uniform=0.2, seed=0)
    assert ramp.shares(1, 3) == pytest.approx([0.5, 0.5])
    small = math.exp(-0.5) / (1 + math.exp(-0.5))
    assert ramp.shares(2, 3) == pytest.approx([0.8 * small + 0.1, 0.8 * (1 - small) + 0.1])
    assert ramp.shares(0, 3) == pytest.approx([0.8 * (1 - small) + 0.1, 0.8 * small + 0.1])
    assert Ramp(SIDES, spread=0.0, uniform=0.0, seed=0).shares(3, 4) == [0, 0, 0, 1], "the nearest alone"


def test_sides_are_drawn_as_often_as_their_shares_say() -> None:
    """Within four standard deviations of 10,000 draws; others for another seed or epoch."""
    ramp, shares, batches = Ramp(SIDES, 0.65, 0.1, seed=3), [0.1, 0.2, 0.3, 0.4], 10_000
    found = ramp.drawn(shares, 5, range(batches))
    counts = Counter(found)
    for side, share in zip(SIDES, shares, strict=True):
        assert abs(counts[side] - share * batches) < 4 * math.sqrt(batches * share * (1 - share))
    assert found != ramp.drawn(shares, 6, range(batches))
    assert found != Ramp(SIDES, 0.65, 0.1, seed=4).drawn(shares, 5, range(batches))
    assert ramp.drawn([0.0, 0.0, 1.0, 0.0], 0, range(50)) == [24] * 50
    assert ramp.drawn(shares, 5, [7, 3]) == [found[7], found[3]], "whatever else is drawn"


def test_a_stage_counts_its_own_epochs() -> None:
    ramp = Ramp((16, 32), spread=0.0, uniform=0.0, seed=0)
    stage = Stage(1, 4, 2, 32, 8, ramp=ramp)
    assert stage.batch_sides_px(4, range(3)) == [16, 16, 16]
    assert stage.batch_sides_px(5, range(3)) == [32, 32, 32]
    assert (stage.sides_px, stage.sides_text) == ((16, 32), "16-32")
    plain = Stage(0, 0, 4, 24, 8)
    assert (plain.batch_sides_px(0, [5, 6]), plain.sides_px, plain.sides_text) == ([24, 24], (24,), "24")
