"""SMRD: as many as DBPD keeps, drawn at random."""

from __future__ import annotations

from stories import Story


def test_smrd_draws_as_many_as_dbpd_and_not_the_same() -> None:
    story = Story({"method": "smrd"}, [0] * 20)
    assert story.next([2.0] * 3 + [0.1] * 17) == list(range(20)), "nothing is known"
    hard, draws = {0, 1, 2}, []
    for losses in ([2.0] * 20, [0.1] * 20, [2.0] * 20, [2.0] * 20):  # what is drawn becomes hard, or is learnt
        draws.append(story.next(losses))
        assert len(draws[-1]) == len(hard), "as many as are hard, whatever is drawn"
        hard = hard | set(draws[-1]) if losses[0] == 2.0 else hard - set(draws[-1])
    assert len({len(draw) for draw in draws}) > 1
    assert set().union(*draws) - {0, 1, 2}, "others than the hard ones are drawn"
