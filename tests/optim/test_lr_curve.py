"""The curve of a sweep: smoothing, the rate that it recommends, and when a sweep has run away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.optim.lr_curve import NoRate, has_run_away, read, smoothed

RATES = np.geomspace(1e-4, 10, 100)


def parabola(lowest: float, depth: float = 1.0) -> np.ndarray:
    """A loss of 2.3 that dips at a rate: flat beyond a decade on its left, rising without end on its right."""
    decades = np.log10(RATES / lowest)
    return 2.3 - depth + depth * np.where(decades < 0, np.minimum(decades**2, 1.0), decades**2)


@given(lowest=st.floats(0.002, 1.0), scale=st.floats(1e-3, 1e3), noise=st.floats(0, 0.02))
def test_the_rate_is_where_the_loss_stops_falling_whatever_the_units(lowest: float, scale: float, noise: float) -> None:
    jitter = noise * np.random.default_rng(0).standard_normal(len(RATES))
    found = read(RATES.tolist(), (scale * (parabola(lowest) + jitter)).tolist())
    assert lowest / 1.5 < found.lr < lowest * 1.5
    assert found.steepest_lr < found.lr
    assert not found.at_end


def test_the_slope_is_taken_over_the_logarithm_of_the_rate() -> None:
    # Over the rate itself the steepest point of this curve is at its very beginning, as in Lightning 2.5.3 to 2.6.
    losses = 2.3 - 1.2 / (1 + (0.1 / RATES) ** 2) - 0.02 * np.log10(RATES / RATES[0])
    over_rate = RATES[np.gradient(losses, RATES).argmin()]
    found = read(RATES.tolist(), losses.tolist())
    assert over_rate == RATES[0]
    assert 0.05 < found.steepest_lr < 0.2


def test_one_runaway_step_moves_nothing() -> None:
    losses = parabola(0.1)
    calm = read(RATES.tolist(), losses.tolist())
    losses[40] = 1e30
    assert read(RATES.tolist(), losses.tolist()).lr == pytest.approx(calm.lr, rel=0.02)


def test_smoothing_leaves_a_constant_as_it_is_and_weighs_neighbours_in_decades() -> None:
    assert smoothed(RATES.tolist(), [1.5] * 100) == pytest.approx([1.5] * 100)
    step = np.where(RATES < 0.03, 2.0, 1.0)
    curve = smoothed(RATES.tolist(), step.tolist())
    assert 1.2 < curve[np.searchsorted(RATES, 0.03)] < 1.8
    assert curve[np.searchsorted(RATES, 0.1)] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("losses", [[2.3] * 100, (2.3 + np.linspace(0, 1, 100)).tolist()])
def test_a_loss_that_never_falls_gives_no_rate(losses: list[float]) -> None:
    with pytest.raises(NoRate, match=r"flat: it begins at 2\.3"):
        read(RATES.tolist(), losses)


def test_noise_is_no_fall() -> None:
    losses = 2.3 + 0.3 * np.random.default_rng(1).standard_normal(100)
    assert smoothed(RATES.tolist(), losses.tolist()).min() < 2.2
    with pytest.raises(NoRate):
        read(RATES.tolist(), losses.tolist())


def test_a_loss_that_falls_to_the_end_says_so() -> None:
    found = read(RATES.tolist(), np.linspace(2.3, 0.5, 100).tolist())
    assert found.at_end
    assert found.lr == pytest.approx(10)


def test_a_sweep_has_run_away_when_the_loss_is_lost_or_far_beyond_its_start() -> None:
    falls = np.linspace(2.3, 1.0, 40).tolist()
    assert not has_run_away(falls, 20)
    assert not has_run_away([*falls, 9.9, 9.9], 20)  # two batches may be bad ones
    assert has_run_away([*falls, 9.9, 9.9, 9.9], 20)
    assert has_run_away([*falls, *[2.3] * 15], 20)  # back where it began: nothing will come of it
    assert not has_run_away([2.3] * 60, 20)  # not yet fallen
    assert not has_run_away([2.3] * 10 + [9.9] * 5, 20)  # too early to say
