"""Periodic epochs on everything, worked by hand."""

from __future__ import annotations

from stories import Story


def test_periodic_full_by_hand() -> None:
    """After 10 + 4 + 4 + 4 = 22 samples, two sets of ten have been crossed, then again at 40."""
    story = Story({"method": "periodic_full", "every_effective_epochs": 2.0}, [0] * 10, epochs=12)
    losses = [2.0] * 4 + [0.1] * 6
    assert [len(story.next(losses)) for _ in range(10)] == [10, 4, 4, 4, 10, 4, 4, 10, 4, 4]
    assert story.selector.counts()["full_epochs"] == 2, "what it was due for, not the first, of which nothing is known"
