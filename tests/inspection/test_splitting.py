"""Who goes into which split: sizes, classes, groups, seeds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import DataError, RecipeError
from fewer.inspection.splitting import assigned, sizes, united


def split(labels: list[int], groups: list[int], shares: dict[str, float], seed: int = 0) -> list[str]:
    names = [f"{label}/{at}.png" for at, label in enumerate(labels)]
    return assigned(names, np.array(labels), np.array(groups), shares, seed)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10, 60), min_size=1, max_size=12), st.sampled_from([0.1, 0.2, 0.4]), st.integers(0, 9))
def test_without_groups_sizes_and_classes_are_those_asked_for(images: list[int], share: float, seed: int) -> None:
    labels = [label for label, count in enumerate(images) for _ in range(count)]
    shares = {"train": 1 - 2 * share, "val": share, "test": share}
    found = split(labels, list(range(len(labels))), shares, seed)
    for name, part in shares.items():
        assert abs(found.count(name) - part * len(labels)) < 1.01
    for label, count in enumerate(images):
        of = Counter(name for name, each in zip(found, labels, strict=True) if each == label)
        assert all(abs(of[name] - part * count) < 2.01 for name, part in shares.items())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=60, max_size=150), st.integers(0, 9))
def test_groups_stay_whole_and_training_knows_every_class(images: list[tuple[int, int]], seed: int) -> None:
    labels, groups = [label for label, _ in images], [group for _, group in images]
    try:
        found = split(labels, groups, {"train": 0.5, "test": 0.5}, seed)
    except DataError:
        return
    assert len({*zip(groups, found, strict=True)}) == len({*groups})
    assert {label for label, name in zip(labels, found, strict=True) if name == "train"} == {*labels}


def test_counts_are_exact_and_the_rest_is_left_over() -> None:
    labels = [at % 3 for at in range(100)]
    wanted = sizes("counts", "train=40,test=10")
    found = Counter(split(labels, list(range(100)), wanted.shares(100)))
    assert found == {"train": 40, "test": 10, "": 50}


def test_the_seed_and_nothing_else_draws_the_lots() -> None:
    labels, groups, shares = [0] * 30, list(range(30)), {"train": 0.5, "val": 0.5}
    assert split(labels, groups, shares) == split(labels, groups, shares)
    assert split(labels, groups, shares, 1) != split(labels, groups, shares)
    assert split(labels, [9 - group for group in groups], shares) == split(labels, groups, shares)


def test_large_groups_are_made_up_for_by_single_images() -> None:
    labels, groups = [0] * 100, [0] * 30 + list(range(1, 71))
    assert Counter(split(labels, groups, {"train": 0.5, "test": 0.5})) == {"train": 50, "test": 50}


def test_a_split_that_nothing_is_left_for_is_refused() -> None:
    with pytest.raises(DataError, match="test would hold no image"):
        split([0, 0, 0], [7, 7, 7], {"train": 0.5, "test": 0.5})


def test_pairs_of_several_kinds_unite_what_they_connect() -> None:
    one = (np.array([0]), np.array([1]))
    other = (np.array([1, 3]), np.array([2, 3]))
    assert len({*united(4, [one, other]).tolist()[:3]}) == 1
    assert len({*united(4, [one, other]).tolist()}) == 2


@pytest.mark.parametrize(
    ("kind", "text", "part"),
    [
        ("fractions", "train=0.8,val=0.1", "sum to 0.9"),
        ("fractions", "train=0.8,valid=0.2", "no split 'valid'"),
        ("fractions", "train=1.2,val=-0.2", "'val=-0.2' is no split with a share above 0"),
        ("fractions", "train=nan,val=0.2", "'train=nan' is no split"),
        ("fractions", "train=1", "at least one of val and test"),
        ("counts", "train=5,train=5", "train is given twice"),
        ("counts", "train=0.5,test=5", "'train=0.5' is no split with a whole number above 0"),
        ("counts", "train 5", "'train 5' is no split"),
    ],
)
def test_wrong_sizes_say_what_is_right(kind: str, text: str, part: str) -> None:
    with pytest.raises(RecipeError, match=part) as error:
        sizes(kind, text)  # type: ignore[arg-type]
    assert "fix: write it like train=" in str(error.value)


def test_more_images_than_there_are_is_refused() -> None:
    with pytest.raises(RecipeError, match="150 images are asked for, and 100 are there"):
        sizes("counts", "train=140,val=10").shares(100)
