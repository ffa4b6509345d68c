"""Weights of classes by their pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.tasks.segment.class_weights import Rule, class_weights

PIXELS = st.lists(st.integers(1, 2**40), min_size=2, max_size=12)


@given(PIXELS, st.sampled_from(["inverse", "log"]))
def test_their_mean_over_the_pixels_is_1_and_rarer_classes_weigh_no_less(pixels: list[int], rule: Rule) -> None:
    weights = class_weights(rule, pixels)
    assert math.fsum(w * n for w, n in zip(weights, pixels, strict=True)) / sum(pixels) == pytest.approx(1)
    by_pixels = [weight for _, weight in sorted(zip(pixels, weights, strict=True), key=lambda pair: pair[0])]
    assert all(one >= other * (1 - 1e-12) for one, other in pairwise(by_pixels))


@given(PIXELS)
def test_inverse_gives_every_class_the_same_sum_and_log_has_bounds(pixels: list[int]) -> None:
    sums = [w * n for w, n in zip(class_weights("inverse", pixels), pixels, strict=True)]
    assert sums == pytest.approx([sums[0]] * len(sums))
    log = class_weights("log", pixels)
    assert max(log) / min(log) <= math.log(2.02) / math.log(1.02) + 1e-9


def test_without_pixels_there_are_no_weights() -> None:
    assert class_weights("none", ()) == ()
    with pytest.raises(RecipeError, match=r'class_weights = "log".*not known; set'):
        class_weights("log", ())
    assert all(map(math.isfinite, class_weights("inverse", [0, 10])))


@pytest.mark.parametrize("rule", ["inverse", "log"])
def test_a_class_that_no_mask_has_shown_weighs_as_much_as_the_rarest_other(rule: Rule) -> None:
    pixels = (9_000_000, 900_000, 5_000, 0)
    *seen, unseen = class_weights(rule, pixels)
    assert unseen == max(seen)
    assert tuple(seen) == pytest.approx(class_weights(rule, pixels[:3]))
