"""SMRD: as many as DBPD keeps, drawn at random."""

from __future__ import annotations

import torch

from fewer.core.observation import Observed
from fewer.core.types import At
from stories import Story, build


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


def test_fresh_smrd_counts_what_is_hard_or_wrong_in_the_batch() -> None:
    """Of eight, two are below 0.3 and one more is predicted wrongly: two or three are drawn, whichever they are."""
    score = torch.tensor([0.1, 0.2, 0.4, 0.9, 0.9, 0.9, 0.9, 0.9])
    seen = Observed.of(torch.arange(8), -score.log(), score, score > 0.45)
    for keys, count in (
        ({"score": "fresh"}, 2),
        ({"published": True}, 2),
        ({"score": "fresh", "rule": "score_or_wrong"}, 3),
    ):
        selector = build({"method": "smrd", "guards": "off", **keys}, [0] * 8)
        assert selector.in_batch(At(0, 8, 0.0))
        drawn = [frozenset(selector.keep(seen, At(e, 8, 0.1)).mask_G.nonzero().flatten().tolist()) for e in range(8)]
        assert {len(each) for each in drawn} == {count}
        assert len(set(drawn)) > 3, "at random"


def test_smrd_counts_what_is_wrong_before_the_epoch_too() -> None:
    story = Story({"method": "smrd", "rule": "score_or_wrong"}, [0] * 6)
    story.next([2.0, 0.5, 0.5, 0.1, 0.1, 0.1], wrong={1, 2})
    assert len(story.next([0.1] * 6)) == 3, "one below 0.3, and two that are wrong above it"
