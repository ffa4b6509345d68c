"""A random draw after a warm-up on everything."""

from __future__ import annotations

from stories import Story


def test_warmup_random_begins_with_everything() -> None:
    story = Story({"method": "warmup_random", "warmup": "3ep"}, [0] * 10)
    losses = [2.0] * 4 + [0.1] * 6
    assert [len(story.next(losses)) for _ in range(5)] == [10, 10, 10, 4, 4]
