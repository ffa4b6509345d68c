"""Statistics over paired seeds and the verdict on a variant."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fewer.compare.verdict import (
    Evidence,
    Sample,
    at_cost,
    binomial_variance,
    judge,
    over_curve,
    paired,
    whole_curves,
)


def test_a_sample_is_the_tables_of_students_t() -> None:
    sample = Sample.of([0.004, 0.006, 0.002, 0.004])  # deviation sqrt(8e-6 / 3), error half of that
    error = math.sqrt(8e-6 / 3) / 2
    assert sample is not None
    assert sample.mean == pytest.approx(0.004)
    assert sample.high == pytest.approx(0.004 + 3.182446 * error, rel=1e-6)
    assert sample.least == pytest.approx(0.004 - 2.353363 * error, rel=1e-6)
    assert sample.most == pytest.approx(0.004 + 2.353363 * error, rel=1e-6)


def test_one_value_has_no_interval_and_decides_nothing() -> None:
    sample = Sample.of([0.1])
    assert sample is not None
    assert (sample.low, sample.high) == (None, None)
    assert not sample.above(-1.0)
    assert not sample.below(1.0)
    assert sample.seeds_needed(0.0) is None
    assert Sample.of([]) is None


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=8), st.sampled_from([-0.01, 0.0, 0.005]))
def test_the_bounds_decide_as_scipys_one_sided_paired_test(thousandths: list[int], limit: float) -> None:
    values = [value / 1000 for value in thousandths]
    if len(set(values)) < 2:
        return
    sample = Sample.of(values)
    assert sample is not None
    for decides, alternative in ((sample.above, "greater"), (sample.below, "less")):
        p = stats.ttest_1samp(values, limit, alternative=alternative).pvalue
        if abs(p - 0.05) > 1e-9:
            assert decides(limit) == (p < 0.05)


@pytest.mark.parametrize("values", [[0.0] * 3, [0.1 + 0.2 - 0.3, 0.0, 0.0]])
def test_for_equal_seeds_the_images_alone_say_how_many_more(values: list[float]) -> None:
    sample = Sample.of(values, noise=0.0063)
    assert sample is not None
    assert sample.seeds_needed(-0.005) == 5


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 27), (1.0, 8), (1.65, 4), (2.0, 4)])
def test_seeds_needed_are_those_of_the_power_tables(effect: float, seeds: int) -> None:
    """One-sided, 5 %, power 80 %: 27, 8, 4 and 4 by the noncentral t."""
    sample = Sample.of([effect - math.sqrt(0.5), effect + math.sqrt(0.5)])  # deviation 1
    assert sample is not None
    assert sample.seeds_needed(0.0) == seeds
    assert sample.seeds_needed(effect) is None  # on the limit itself no number would do


def test_the_curve_is_linear_between_budgets_and_nothing_beyond_them() -> None:
    points = [(6.0, 0.9), (3.0, 0.8), (12.0, 0.96)]
    assert at_cost(points, 3.0) == 0.8
    assert at_cost(points, 4.5) == pytest.approx(0.85)
    assert at_cost(points, 9.0) == pytest.approx(0.93)
    assert at_cost(points, 12.1) == 0.96  # within 1 % of the end
    assert at_cost(points, 12.2) is None
    assert at_cost(points, 2.9) is None
    assert at_cost(points[:1], 6.0) is None


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=2, max_size=6, unique_by=lambda p: p[0]))
def test_between_budgets_it_is_numpys_interpolation(points: list[tuple[int, float]]) -> None:
    x, y = zip(*sorted(points), strict=True)
    for cost in np.linspace(x[0], x[-1], 17):
        assert at_cost(points, float(cost)) == pytest.approx(np.interp(cost, x, y))


def test_only_seeds_that_both_have_are_paired() -> None:
    values, others = {0: 0.5, 1: 0.7, 3: 0.9}, {0: 0.4, 2: 0.0, 3: 0.7}
    for sign in (1, -1):
        sample = paired(values, others, sign)
        assert sample is not None
        assert sample.values == pytest.approx((sign * 0.1, sign * 0.2))


def test_a_seed_that_lacks_a_budget_has_no_curve() -> None:
    """A line over the gap would lie below what plain training reaches: 0.85 in place of 0.88 at a cost of 5."""
    budgets = [{0: (2.5, 0.80), 1: (2.5, 0.81)}, {1: (5.0, 0.88)}, {0: (10.0, 0.91), 1: (10.0, 0.92)}]
    assert whole_curves(budgets) == {1: [(2.5, 0.81), (5.0, 0.88), (10.0, 0.92)]}
    assert whole_curves(budgets[:1]) == {}


def test_no_curve_leads_across_a_budget_all_of_whose_runs_failed() -> None:
    """A chord over the gap lies below plain training: an arm on the very curve beat it by 0.62 points."""
    lowest, middle, full = (dict.fromkeys(range(5), point) for point in ((2.5, 0.80), (5.0, 0.88), (10.0, 0.91)))
    on_the_curve = dict.fromkeys(range(5), 0.88), dict.fromkeys(range(5), 5.0)
    there = over_curve(*on_the_curve, whole_curves([lowest, middle, full]))
    assert there is not None
    assert there.mean == 0
    assert whole_curves([lowest, {}, full]) == {}
    assert over_curve(*on_the_curve, whole_curves([lowest, {}, full])) is None


def test_seeds_are_not_left_out_for_what_they_cost() -> None:
    curves = {seed: [(2.5, 0.8), (10.0, 0.9)] for seed in range(3)}
    values = {0: 0.91, 1: 0.92, 2: 0.93}
    near = over_curve(values, {0: 10.0, 1: 10.05, 2: 10.1}, curves)
    assert near is not None
    assert near.values == pytest.approx((0.01, 0.02, 0.03))
    assert over_curve(values, {0: 10.0, 1: 10.05, 2: 10.4}, curves) is None
    fewer_curves = over_curve(values, {0: 10.0, 1: 10.0, 2: 10.4}, {0: curves[0], 1: curves[1]})
    assert fewer_curves is not None
    assert len(fewer_curves.values) == 2


def evidence(cost: float, over_plain: list[float], over_curve: list[float] | None = None, failed: int = 0) -> Evidence:
    equal = None if over_curve is None else Sample.of(over_curve)
    return Evidence(cost, Sample.of(over_plain), equal, failed, len(over_plain) + failed, margin=0.005)


SAME, WORSE, BETTER = [-0.001, 0.001, 0.0], [-0.021, -0.019, -0.02], [0.021, 0.019, 0.02]

UNCLEAR = [-0.05, 0.05, 0.0]


@pytest.mark.parametrize(
    ("found", "text", "holds"),
    [
        (evidence(0.61, SAME), "non-inferior at 0.61 of the cost", {"non-inferior"}),
        (
            evidence(0.61, SAME, BETTER),
            "non-inferior at 0.61 of the cost and beats plain at equal cost",
            {"non-inferior", "beats plain"},
        ),
        (evidence(0.61, SAME, UNCLEAR), "non-inferior at 0.61 of the cost", {"non-inferior"}),
        (
            evidence(0.61, SAME, WORSE),
            "non-inferior at 0.61 of the cost, but plain training, shortened to that cost, is better",
            {"non-inferior"},
        ),
        (evidence(0.3, WORSE, BETTER), "beats plain at equal cost", {"beats plain"}),
        (evidence(0.3, UNCLEAR, BETTER), "beats plain at equal cost", {"beats plain"}),
        (evidence(1.2, SAME), "no saving: 1.20 of the cost", set()),
        (evidence(0.95, SAME), "non-inferior at 0.95 of the cost", {"non-inferior"}),
        (evidence(0.951, SAME), "no saving: 0.951 of the cost; 0.95 or less would be one", set()),
        (evidence(0.9502, SAME), "no saving: 0.9502 of the cost; 0.95 or less would be one", set()),
        (evidence(0.96, SAME), "no saving: 0.96 of the cost; 0.95 or less would be one", set()),
        (evidence(0.96, SAME, BETTER), "beats plain at equal cost", {"beats plain"}),
        (evidence(1.2, BETTER), "no saving: 1.20 of the cost", set()),
        (evidence(0.6, WORSE), "no saving: worse than plain by more than 0.5 points", set()),
        (evidence(0.6, UNCLEAR, WORSE), "no saving: plain training, shortened to that cost, is better", set()),
        (evidence(0.6, SAME, BETTER, failed=1), "failed: 1 of 4 runs", set()),
        (evidence(0.6, [0.1]), "undecided: a verdict takes 3 seeds or more", set()),
        (evidence(0.6, [0.1, 0.1], [0.1, 0.1]), "undecided: a verdict takes 3 seeds or more", set()),
        (evidence(0.6, [-0.1, -0.1], [-0.1, -0.1]), "undecided: a verdict takes 3 seeds or more", set()),
    ],
)
def test_verdicts(found: Evidence, text: str, holds: set[str]) -> None:
    verdict = judge(found)
    assert verdict.text == text
    assert set(verdict.holds) == holds


def test_undecided_says_how_many_seeds_would_decide() -> None:
    """By whichever criteria is nearer to an answer."""
    over_plain = [-0.004, 0.006, 0.001]  # 0.006 above the limit, deviation 0.005
    verdict = judge(evidence(0.6, over_plain, UNCLEAR))
    assert verdict.text == "undecided: n too small (about 6 seeds would decide)"
    assert verdict.seeds_needed == 6
    nearer = judge(evidence(0.6, over_plain, [0.0, 0.01, 0.011]))  # 0.007 above 0, deviation 0.006083
    assert nearer.seeds_needed == 6
    assert judge(evidence(0.6, UNCLEAR, over_plain)).seeds_needed == 156
    lost = judge(evidence(0.6, [-0.5, 0.5, -0.015], UNCLEAR))
    assert lost.text == "undecided: n too small (too close to the margin for 200 seeds)"


# --- Ties, and the images that judge ---------------------------------------------------------------------------------


def test_the_noise_of_a_difference_is_that_of_two_binomial_shares() -> None:
    """50 and 30 of 100 images, with one more of each outcome: 51/102 and 31/102."""
    sample = paired({0: 0.5, 1: 0.5}, {0: 0.3, 1: 0.3}, images=100)
    assert sample is not None
    assert sample.noise == pytest.approx(math.sqrt((51 * 51 + 31 * 71) / 102**2 / 100))
    assert binomial_variance(1.0, 72) > 0, "all of 72 images right is no proof of 100 %"


def test_an_interval_is_never_narrower_than_the_noise_of_the_images() -> None:
    same = Sample.of([0.0, 0.0, 0.0], noise=0.02)
    assert same is not None
    assert same.high == pytest.approx(1.959964 * 0.02 / math.sqrt(3))
    assert same.least == pytest.approx(-1.644854 * 0.02 / math.sqrt(3))
    wide = Sample.of([-0.5, 0.5, 0.0], noise=0.02)
    assert wide is not None
    assert wide.least == pytest.approx(-2.919986 * 0.5 / math.sqrt(3)), "the seeds differ by more than that"


def test_seeds_share_their_images_so_only_images_lower_the_noise_for_good() -> None:
    five, many = (Sample.of([0.0] * n, noise=0.02) for n in (5, 50))
    assert five is not None
    assert many is not None
    assert five.least == many.least


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_equal_results_on_few_images_prove_nothing(seeds: int) -> None:
    values = dict.fromkeys(range(seeds), 1.0)
    difference = paired(values, values, images=72)
    assert judge(Evidence(0.5, difference, difference, 0, seeds)).holds == ()
    assert judge(Evidence(0.5, paired(values, values, images=100_000), None, 0, seeds)).holds == (
        ("non-inferior",) if seeds >= 3 else ()
    )


def test_too_few_images_are_told_apart_from_too_few_seeds() -> None:
    """Noise of 0.02 over five seeds: 1.645 * 0.02 / sqrt(5) = 0.0147, three times the margin."""
    difference = Sample.of([0.001, -0.001, 0.0, 0.0, 0.0], noise=0.02)
    verdict = judge(Evidence(0.6, difference, None, 0, 5))
    assert verdict.text == "undecided: too few images (about 9 times as many would decide)"


MARGIN, DRAWS = 0.005, 500


def drawn(images: int, accuracy: float) -> npt.NDArray[np.float64]:
    """Accuracies of eight seeds of plain training and of a variant that is worse by exactly the margin: (8, 2, DRAWS).

    Images differ in difficulty, and each comparison draws others. The variant finds 15 % of them as hard as if they
    were drawn anew, in all seeds alike, so that some of the difference comes back with every seed.
    """
    rng, shape = np.random.default_rng(0), (0.3, 0.3 * (1 - accuracy) / accuracy)
    plain_RN = rng.beta(*shape, (DRAWS, images))
    other_RN = np.where(rng.random((DRAWS, images)) < 0.15, rng.beta(*shape, (DRAWS, images)), plain_RN)
    other_RN *= 1 - MARGIN / accuracy
    return np.stack([(rng.random((2, DRAWS, images)) < (plain_RN, other_RN)).mean(-1) for _ in range(8)])


def falsely_passed(drawn_SAR: npt.NDArray[np.float64], seeds: int, images: int) -> float:
    """How often the variant passes as non-inferior."""
    passed = 0
    for draw in range(DRAWS):
        plain, other = (dict(enumerate(drawn_SAR[:seeds, arm, draw].tolist())) for arm in (0, 1))
        difference = paired(other, plain, images=images)
        passed += difference is not None and difference.above(-MARGIN)
    return passed / DRAWS


@pytest.mark.parametrize("images", [72, 1000])
@pytest.mark.parametrize("accuracy", [0.7, 0.98])
def test_a_variant_that_is_worse_by_the_margin_rarely_passes(images: int, accuracy: float) -> None:
    """In one of twenty comparisons at most; by the spread over seeds alone it passes up to four times as often."""
    drawn_SAR = drawn(images, accuracy)
    assert falsely_passed(drawn_SAR, 2, images) == 0, "two seeds give no verdict"
    for seeds in (3, 5, 8):
        assert falsely_passed(drawn_SAR, seeds, images) <= 0.05, seeds
    assert falsely_passed(drawn_SAR, 5, images=0) > 0.08
