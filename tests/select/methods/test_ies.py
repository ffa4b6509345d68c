"""IES: what is at rest is left out, worked by hand."""

from __future__ import annotations

from stories import Story


def test_ies_by_hand() -> None:
    """Five losses make three second differences; sample 0 is at rest, 1 falls evenly, 2 shakes."""
    story = Story({"method": "ies", "delta": 0.1}, [0] * 3, epochs=10)
    losses = [[1.0, 5.0 - 0.5 * e, 2.0 + (-1.0) ** e] for e in range(9)]
    for epoch in range(6):
        assert story.next(losses[epoch]) == [0, 1, 2], "six epochs on everything"
    assert story.next(losses[6]) == [2], "even change is no change of change"
    # What is left out keeps its last loss, so that it stays at rest: 5 - 0.5 * 5 = 2.5, 2.5, ... has a kink of 0.5.
    assert story.next(losses[7]) == [1, 2], "mean |d| of sample 1 is 0.5 / 3"


def test_ies_takes_what_is_left_out_by_its_new_loss() -> None:
    story = Story({"method": "ies", "delta": 0.1}, [0] * 3, epochs=10)
    losses = [[1.0, 5.0 - 0.5 * e, 2.0 + (-1.0) ** e] for e in range(9)]
    assert [story.next(losses[epoch]) for epoch in range(7)][-1] == [2]
    story.look({0: 3.0, 1: 2.0})
    assert story.next(losses[7]) == [0, 2], "0 has moved, and 1 falls as evenly as before"


def test_ies_leaves_out_what_moves_least_under_a_cost() -> None:
    story = Story({"method": "ies", "delta": 100.0}, [0] * 3, epochs=10)
    story.share = 0.67
    losses = [[1.0, 5.0 - 0.5 * e + 0.1 * e**2, 2.0 + (-1.0) ** e] for e in range(7)]
    assert [story.next(losses[epoch]) for epoch in range(7)][-1] == [1, 2]
