"""KAKURENBO: what is hidden, and when less is, worked by hand."""

from __future__ import annotations

import pytest

from stories import ALL8, Story


def test_kakurenbo_by_hand() -> None:
    """Of eight, half may be hidden: the lowest losses, if right with a probability of 0.7 or more (loss < 0.357)."""
    story = Story({"method": "kakurenbo", "hidden": 0.5, "milestones": [0.9, 0.95, 1.0]}, [0] * 8)
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert story.next(losses, wrong={1}) == ALL8
    # Candidates are 0 to 3; 1 was wrong, and 3 is not sure enough.
    assert story.next(losses) == [1, 3, 4, 5, 6, 7]
    assert story.chosen.lr_scale == pytest.approx(8 / 6)
    # Sample 1 is right now: 0, 1 and 2 are hidden.
    assert story.next(losses) == [3, 4, 5, 6, 7]
    assert story.chosen.lr_scale == pytest.approx(8 / 5)


def test_kakurenbo_takes_what_is_hidden_by_its_new_loss() -> None:
    """Two of eight may be hidden; sample 0 is looked at again, and is no longer among the lowest two."""
    story = Story({"method": "kakurenbo", "hidden": 0.25, "milestones": [1.0, 1.0, 1.0]}, [0] * 8)
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert story.next(losses) == ALL8
    assert story.next(losses) == [2, 3, 4, 5, 6, 7]
    story.look({0: 0.35, 1: 0.2})
    assert story.next(losses) == [0, 3, 4, 5, 6, 7]


def test_kakurenbo_hides_less_at_milestones() -> None:
    story = Story({"method": "kakurenbo", "hidden": 0.5, "milestones": [0.25, 0.5, 0.75]}, [0] * 20)
    sizes = [len(story.next([0.001] * 20)) for _ in range(8)]
    assert sizes == [20, 10, 12, 12, 14, 14, 16, 16]


def test_kakurenbo_hides_the_lowest_losses_under_a_cost() -> None:
    story = Story({"method": "kakurenbo", "hidden": 0.5, "milestones": [0.9, 0.95, 1.0]}, [0] * 8)
    story.share = 0.5
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert [story.next(losses, wrong={1}) for _ in range(2)] == [ALL8, [4, 5, 6, 7]], "sure of them or not"


@pytest.mark.parametrize(("share", "kept", "scale"), [(0.75, 6, 8 / 6), (0.5, 4, 2.0), (0.25, 2, 2.0)])
def test_kakurenbo_raises_the_rate_no_more_than_for_all_that_may_be_hidden(
    share: float, kept: int, scale: float
) -> None:
    """Half may be hidden, so twice the rate is the most, also where a cost hides three quarters."""
    story = Story({"method": "kakurenbo", "hidden": 0.5}, [0] * 8)
    story.share = share
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    story.next(losses)
    assert len(story.next(losses)) == kept
    assert story.chosen.lr_scale == pytest.approx(scale)
