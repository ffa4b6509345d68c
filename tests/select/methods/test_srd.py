"""SRD: shares that follow their curve."""

from __future__ import annotations

from stories import Story


def test_srd_follows_its_curve() -> None:
    for content, expected in (
        ({"gamma": 0.5}, [40, 20, 10, 5, 2]),
        ({"decay": "inverse_linear"}, [40, 30, 24, 20, 17]),
        ({"decay": "logarithmic"}, [40, 32, 27, 25, 23]),
        ({"gamma": 0.5, "least": 0.2}, [40, 20, 10, 8, 8]),
    ):
        story = Story({"method": "srd", **content}, [0] * 40)
        assert [len(story.next([1.0] * 40)) for _ in range(5)] == expected, content
