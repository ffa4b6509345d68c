"""Adaptive thresholds: rising, or a saw tooth."""

from __future__ import annotations

import torch

from stories import Story


def test_adaptive_thresholds_rise_or_are_a_saw_tooth() -> None:
    def thresholds(published: bool) -> list[float]:
        content = {"method": "adaptive", "interval": 2, "increment": 0.2, "published": published}
        story, found = Story(content, [0] * 4, epochs=12), []
        for _ in range(8):
            story.next([1.0] * 4)
            found.append(round(story.selector.counts()["threshold"], 9))
        return found

    def ids(published: bool) -> list[list[int]]:
        content = {"method": "adaptive", "interval": 2, "increment": 0.2, "published": published}
        story = Story(content, [0] * 5, epochs=12)
        losses = (-torch.tensor([0.2, 0.4, 0.6, 0.8, 0.95]).log()).tolist()
        return [story.next(losses) for _ in range(8)]

    assert thresholds(False) == [0.3, 0.3, 0.5, 0.5, 0.7, 0.7, 0.9, 0.9]
    assert [len(chosen) for chosen in ids(False)] == [5, 1, 2, 2, 3, 3, 4, 4]
    assert ids(False)[-1] == [0, 1, 2, 3], "the easiest come back last"
    # Published: + 0, 0, .2, .2, .4 -> over 1: back to .3; + .4; + .6 -> over 1: back.
    assert thresholds(True) == [0.3, 0.3, 0.5, 0.7, 0.3, 0.7, 0.3, 0.9]
    assert ids(True)[1:] == [[0], [0, 1], [0, 1, 2], [0], [0, 1, 2], [0], [0, 1, 2, 3]]
