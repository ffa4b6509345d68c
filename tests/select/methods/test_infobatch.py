"""InfoBatch: pruning and weights, worked by hand."""

from __future__ import annotations

from stories import ALL8, Story


def test_infobatch_by_hand() -> None:
    """Mean of 1..8 is 4.5: four are below, two of them stay with weight 2, the others weigh 1."""
    story = Story({"method": "infobatch"}, [0] * 8)
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert story.next(losses) == ALL8
    second = story.next(losses)
    assert {4, 5, 6, 7} <= set(second)
    assert len(second) == 6
    weight = dict(zip(story.chosen.ids_M.tolist(), story.chosen.weight_M.tolist(), strict=True))
    assert [weight[i] for i in second] == [2.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    # Now 4 to 7 are learnt (0.5): the mean is 12 / 8, below it are these and sample 0; int(5 / 2) of the five stay.
    story.next([1.0, 2.0, 3.0, 4.0, 0.5, 0.5, 0.5, 0.5])
    fourth = story.next(losses)
    assert {1, 2, 3} <= set(fourth)
    assert len(fourth) == 5
    weight = dict(zip(story.chosen.ids_M.tolist(), story.chosen.weight_M.tolist(), strict=True))
    assert sorted(weight.values()) == [1.0, 1.0, 1.0, 2.5, 2.5]


def test_infobatch_prunes_what_is_strictly_below_the_mean() -> None:
    """Mean of 1, 2, 2, 3 is 2: sample 0 alone is below, and half of one is none; of equal losses none is below."""
    story = Story({"method": "infobatch"}, [0] * 4)
    story.next([1.0, 2.0, 2.0, 3.0])
    assert story.next([1.0, 2.0, 2.0, 3.0]) == [1, 2, 3]
    story = Story({"method": "infobatch"}, [0] * 4)
    story.next([2.0] * 4)
    assert story.next([2.0] * 4) == [0, 1, 2, 3]
