"""SeTa: groups and the window that slides over them, worked by hand."""

from __future__ import annotations

from stories import Story


def test_seta_by_hand() -> None:
    """Three clear groups; a window of one slides from easy to hard and begins again."""
    story = Story({"method": "seta", "pruned": 0.0, "groups": 3, "window": 0.33, "tail": "0ep"}, [0] * 6)
    losses = [1.0, 5.0, 9.0, 1.1, 5.1, 9.1]
    assert story.next(losses) == [0, 1, 2, 3, 4, 5]
    assert [story.next(losses) for _ in range(4)] == [[0, 3], [1, 4], [2, 5], [0, 3]]


def test_seta_groups_by_where_losses_lie_not_by_their_number() -> None:
    story = Story({"method": "seta", "pruned": 0.0, "groups": 2, "window": 0.5, "tail": "0ep"}, [0] * 6)
    losses = [1.0, 1.1, 1.2, 1.3, 9.0, 9.1]
    story.next(losses)
    assert [story.next(losses) for _ in range(2)] == [[0, 1, 2, 3], [4, 5]]


def test_seta_ends_on_random_draws() -> None:
    story = Story({"method": "seta", "pruned": 0.5, "groups": 2, "window": 0.5, "tail": "2ep"}, [0] * 8, epochs=4)
    sizes = [len(story.next([float(i) for i in range(8)])) for _ in range(4)]
    assert sizes[0] == 8
    assert sizes[1] < 4
    assert sizes[2:] == [4, 4]


def test_seta_slides_a_wider_window_under_a_cost() -> None:
    story = Story({"method": "seta", "pruned": 0.0, "groups": 3, "window": 0.33, "tail": "0ep"}, [0] * 6)
    story.share = 0.5
    losses = [1.0, 5.0, 9.0, 1.1, 5.1, 9.1]
    assert [story.next(losses) for _ in range(4)] == [[0, 1, 2, 3, 4, 5], [0, 1, 3], [1, 2, 4], [2, 4, 5]]
