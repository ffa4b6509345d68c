"""Groups by the number of objects: bins of equal sizes, background apart, other splits left out."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.objects import ObjectTable
from fewer.tasks.detect.groups import groups


def table(counts: list[int]) -> ObjectTable:
    return ObjectTable.of([([[0.0, 0.0, 4.0, 4.0]] * count, [0] * count) for count in counts])


def test_groups_by_hand() -> None:
    """Ten images with objects make five bins of two; background and an image of another split are apart."""
    counts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 99]
    label_N = torch.zeros(13, dtype=torch.int64)
    label_N[12] = -1
    group_N, found = groups(label_N, ["thing"], table(counts))
    assert found == 6
    assert group_N.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 0, -1]


def test_a_crowd_region_is_no_object() -> None:
    objects = table([1, 2])
    objects.crowd_A[1] = True
    assert objects.count_N.tolist() == [1, 1]
    group_N, _ = groups(torch.zeros(2, dtype=torch.int64), ["thing"], objects)
    assert group_N[0] == group_N[1]


def test_without_boxes_all_are_one_group() -> None:
    label_N = torch.tensor([0, 3, -1])
    for objects in (None, table([0, 0, 5])):
        group_N, found = groups(label_N, ["thing"], objects)
        assert (group_N.tolist(), found) == ([0, 0, -1], 1)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.data())
def test_groups_are_ordered_bins(counts: list[int], data: st.DataObject) -> None:
    """More objects are never a lower group, equal numbers are one group, and no group but background is empty."""
    inside = data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts)))
    label_N = torch.where(torch.tensor(inside), 0, -1)
    group_N, found = groups(label_N, ["thing"], table(counts))
    members = sorted((count, int(group)) for count, group, is_in in zip(counts, group_N, inside, strict=True) if is_in)
    assert [group for _, group in members] == sorted(group for _, group in members)
    assert all(group == 0 for count, group in members if count == 0)
    if any(count for count, _ in members):
        assert all((group == 0) == (count == 0) for count, group in members)
        assert {group for count, group in members if count} == set(range(1, found))
        assert found <= 6
    assert all(int(group) == -1 for group, is_in in zip(group_N, inside, strict=True) if not is_in)
