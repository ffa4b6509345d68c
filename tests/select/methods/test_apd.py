"""APD: quotas of classes, worked by hand."""

from __future__ import annotations

import pytest
import torch

from stories import ALL8, Story


def test_apd_by_hand() -> None:
    """d starts at 0.5 and moves by a tenth towards the share of hard samples; quotas follow pi (d + eps)."""
    labels = [0] * 4 + [1] * 4
    story = Story({"method": "apd", "alpha": 0.5}, labels)
    score = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9])
    losses = (-score.log()).tolist()
    assert story.next(losses) == ALL8
    second = story.next(losses)
    # Hard: 4 of 4 and 1 of 4. d = 0.75 and 0.375; weights 4 * 0.76 and 4 * 0.385; M = 5: 3.32 and 1.68.
    series = story.selector.series(story.table)
    assert series["hard_rate_per_class"].tolist() == [0.75, 0.375]
    assert series["proportion_per_class"].tolist() == pytest.approx([0.76 / 1.145, 0.385 / 1.145])
    assert series["quota_per_class"].tolist() == [3, 2]
    assert [sum(i < 4 for i in second), sum(i >= 4 for i in second)] == [3, 2]
    # Nothing is learnt: 1 and 1/4 are hard again. d = 0.875 and 0.3125; weights 3.54 and 1.29: 3.66 and 1.34 of five.
    third = story.next([0.0] * 4 + losses[4:])
    series = story.selector.series(story.table)
    assert series["hard_rate_per_class"].tolist() == [0.875, 0.3125]
    assert series["quota_per_class"].tolist() == [4, 1]
    assert third[:4] == [0, 1, 2, 3]
    # Class 0 is learnt: 0 and 1/4. d = 0.4375 and 0.28125; one hard sample, and one of each class at least.
    assert [i < 4 for i in story.next(losses)] == [True, False]
    assert story.selector.series(story.table)["hard_rate_per_class"].tolist() == [0.4375, 0.28125]


def test_apd_follows_the_classes_sizes() -> None:
    """Half of six and half of two are hard: d = 0.5 in both; M = 4, by 6 * 0.51 and 2 * 0.51: 3 and 1."""
    story = Story({"method": "apd", "alpha": 0.5}, [0] * 6 + [1] * 2)
    losses = (-torch.tensor([0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.9]).log()).tolist()
    for _ in range(2):
        story.next(losses)
    assert story.selector.series(story.table)["quota_per_class"].tolist() == [3, 1]
