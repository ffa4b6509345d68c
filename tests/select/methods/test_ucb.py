"""UCB: bounds of losses, worked by hand."""

from __future__ import annotations

import pytest

from stories import Story


def test_ucb_by_hand() -> None:
    """Bounds m + v with weight 0.5 of the newest loss; a new choice every two epochs."""
    story = Story({"method": "ucb", "share": 0.5, "every": 2, "newest": 0.5}, [0] * 4)
    assert story.next([4, 3, 2, 1]) == [0, 1, 2, 3]
    assert story.next([0, 3, 2, 1]) == [0, 1]  # m = 4, 3, 2, 1; v = 0
    assert story.next([0, 3, 2, 1]) == [0, 1], "chosen for two epochs"
    # Sample 0: deviation -4: m = 2, v = 8; then -2: m = 1, v = 4 + 2 = 6: bound 7. Sample 1: 3. 2 and 3: 2 and 1.
    assert story.next([0, 0, 2, 1]) == [0, 1]
    # Sample 0: deviation -1: m = 0.5, v = 3.5. Sample 1: deviation -3: m = 1.5, v = 4.5. The next choice is in epoch 5.
    assert story.next([0, 0, 2, 1]) == [0, 1]
    # After two zeros more: 0: m 0.25, v 1.875 -> 2.1; 1: m 0.75, v 3.375 -> 4.1; 2: bound 2: it comes after both.
    assert story.next([0, 0, 2, 1]) == [0, 1]


def test_ucb_comes_back_to_what_varied() -> None:
    story = Story({"method": "ucb", "share": 0.5, "every": 2, "newest": 0.5}, [0] * 4)
    assert story.next([0.4, 0.3, 0.2, 0.1]) == [0, 1, 2, 3]
    assert story.next([0.4, 0.0, 0.2, 0.1]) == [0, 1]
    assert story.next([0.4, 0.0, 0.2, 0.1]) == [0, 1], "1 is at 0.195 by now, but two epochs are one choice"
    assert story.next([0.4, 0.0, 0.0, 0.1]) == [0, 2], "bounds 0.4, 0.109, 0.2, 0.1"
    assert story.next([0.4, 0.0, 0.0, 0.1]) == [0, 2]
    assert story.next([0.4, 0.0, 0.0, 0.1]) == [0, 1], "2 is at 0.065; 1 at 0.075 + 0.034 beats 3 at 0.1"


def test_ucb_weighs_the_newest_loss_as_stated() -> None:
    """Weight 0.8 of the newest: deviations of -4 and then -0.8 of sample 0, and of -3 of sample 1."""
    story = Story({"method": "ucb", "share": 0.5, "every": 1, "newest": 0.8}, [0] * 4)
    story.next([4, 3, 2, 1])
    assert story.next([0, 3, 2, 1]) == [0, 1]
    assert story.next([0, 0, 2, 1]) == [0, 1]  # sample 0: m = 0.8, v = 0.8 * 16 = 12.8
    assert story.next([0, 0, 2, 1]) == [0, 1]
    state = story.selector.state_dict()["selector"]
    assert state["mean"].tolist() == pytest.approx([0.16, 0.6, 2.0, 1.0])
    assert state["variance"].tolist() == pytest.approx([0.2 * 12.8 + 0.8 * 0.64, 7.2, 0.0, 0.0])
    assert state["bound"].tolist() == pytest.approx([3.232, 7.8, 2.0, 1.0])
