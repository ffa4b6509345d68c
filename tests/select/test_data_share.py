"""The share of the images that an epoch shows: every class alike, each image in its turn."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.select.data_share import DataShare, least_share, shown_images

CLASSES = st.lists(st.integers(4, 40), min_size=1, max_size=4)
SHARES = st.lists(st.sampled_from([0.25, 0.3, 0.5, 0.6, 0.9, 1.0]), min_size=1, max_size=4)


def shares_of(images_C: list[int], share_E: list[float], seed: int = 3) -> DataShare:
    label_M = torch.arange(len(images_C)).repeat_interleave(torch.tensor(images_C))
    ids_M = torch.arange(len(label_M)) * 3 + 1
    return DataShare(ids_M, label_M, share_E, seed)


@given(CLASSES, SHARES, st.integers(1, 7))
def test_every_epoch_shows_each_class_its_share_and_what_the_plan_counts(
    images_C: list[int], shares: list[float], times: int
) -> None:
    share_E = [share for share in shares for _ in range(times)]
    data, planned = shares_of(images_C, share_E), shown_images(images_C, share_E)
    for epoch, share in enumerate(share_E):
        ids = data.ids(epoch)
        assert len(ids.unique()) == len(ids) == planned[epoch]
        found_C = data.label_M[torch.isin(data.ids_M, ids)].bincount(minlength=len(images_C)).tolist()
        for found, images in zip(found_C, images_C, strict=True):
            assert found >= 1
            assert abs(found - share * images) < 1 + 1e-6


@given(CLASSES, st.sampled_from([0.25, 0.3, 0.4, 0.5, 0.7, 0.9]), st.integers(0, 5))
def test_every_image_is_seen_as_often_as_the_others_of_its_class(images_C: list[int], share: float, seed: int) -> None:
    epochs = 23
    data = shares_of(images_C, [share] * epochs, seed)
    for until in (1, 2, 5, epochs):
        seen = Counter(int(i) for epoch in range(until) for i in data.ids(epoch))
        for label in range(len(images_C)):
            times = [seen[int(i)] for i in data.ids_M[data.label_M == label]]
            assert max(times) - min(times) <= 1, f"after {until} epochs"


def test_a_draw_is_unbiased_and_new_in_each_lap() -> None:
    images, shares = [20, 12], [0.5] * 4
    shown = torch.zeros(32)
    pairs = set()
    for seed in range(400):
        data = shares_of(images, shares, seed)
        shown += torch.isin(data.ids_M, data.ids(2))
        pairs.add((tuple(data.ids(0).tolist()), tuple(data.ids(2).tolist())))
    assert shown / 400 == pytest.approx(0.5, abs=0.11)  # 4.4 standard deviations
    assert all(first != third for first, third in pairs), "the second lap is cut as the first was"


def test_a_draw_does_not_depend_on_how_images_are_listed_nor_on_how_stages_are_cut() -> None:
    data = shares_of([9, 14], [0.3] * 6)
    turned = DataShare(data.ids_M.flip(0), data.label_M.flip(0), [0.3] * 6, 3)
    for epoch in range(6):
        assert set(data.ids(epoch).tolist()) == set(turned.ids(epoch).tolist())


def test_the_whole_is_the_very_list() -> None:
    data = shares_of([5, 4], [1.0, 0.5])
    assert data.ids(0) is data.ids_M
    assert shown_images([5, 4], [1.0, 1.0]) == [9, 9]


def test_the_smallest_share_shows_the_smallest_class() -> None:
    assert least_share([10, 0, 4]) == 0.25
