"""Values read from documents of any content."""

from __future__ import annotations

import math

import pytest

from fewer.report.values import dig, mapping, number, sequence, thin, whole


def test_thin_keeps_spikes_and_order() -> None:
    values = [1.0] * 10_000
    values[4321] = 99.0
    kept = thin(values, 500)
    assert len(kept) <= 500
    assert 4321 in kept
    assert kept == sorted(set(kept))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5), (3, 3.0), (math.nan, None), (math.inf, None), (True, None), ("3", None), (None, None), ([3], None),
        (10**400, None),
    ],
)  # fmt: skip
def test_only_finite_numbers_are_numbers(value: object, expected: float | None) -> None:
    assert number(value) == expected


def test_other_types_become_empty_values() -> None:
    assert (whole(3.9), whole("3")) == (3, None)
    assert (mapping({"a": 1}), mapping([("a", 1)])) == ({"a": 1}, {})
    assert (sequence([1]), sequence("ab"), sequence({"a": 1})) == ([1], [], [])


def test_a_path_that_ends_early_gives_none() -> None:
    document = {"a": {"b": {"c": 7}}, "list": [1]}
    assert dig(document, "a", "b", "c") == 7
    assert dig(document) == document
    assert dig(document, "a", "x", "c") is None
    assert dig(document, "list", "0") is None


def test_thin_keeps_the_lowest_and_the_highest_of_each_bucket() -> None:
    assert thin([3.0, 1.0, 2.0, 5.0, 4.0, 6.0], 4) == [0, 1, 4, 5]
    assert thin([3.0, 1.0, 2.0], 3) == [0, 1, 2]
    assert thin([], 3) == []
