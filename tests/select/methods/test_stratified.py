"""Stratified quotas, worked by hand."""

from __future__ import annotations

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.types import At
from stories import Story, build


def test_stratified_by_hand() -> None:
    """Six of class 0 and two of class 1; hard are 0, 1, 2 (class 0) and none of class 1."""
    labels = [0] * 6 + [1] * 2
    score = torch.tensor([0.1, 0.2, 0.25, 0.8, 0.8, 0.8, 0.72, 0.6])
    losses = (-score.log()).tolist()
    published = Story({"method": "stratified", "published": True}, labels)
    published.next(losses)
    assert published.next(losses) == [0, 1, 2], "what dbpd chooses"
    own = Story({"method": "stratified", "least": 1}, labels)
    own.next(losses)
    # M = 3; d = 3.05 / 6 and 0.34; weights 6 * 0.518 and 2 * 0.35: 2.45 and 0.55 of three: 2 and 1.
    assert own.next((-torch.tensor([0.9, 0.9, 0, 0, 0, 0, 0, 0.2]).log()).tolist()) == [0, 1, 7]
    # 0 and 1 are learnt, 7 has become hard: M = 2, d = 1.55 / 6 and 0.54; weights 1.61 and 1.10: one each.
    assert own.next((-torch.tensor([0, 0, 0.9, 0, 0, 0, 0, 0.29]).log()).tolist()) == [2, 7]
    # Only 7 is hard: M = 1, but every class gets one; of class 0 one of the three hardest, 3, 4 and 5, at random.
    last = own.next(losses)
    assert len(last) == 2
    assert last[0] in {3, 4, 5}
    assert last[1] == 7
    # Sizes left aside: hard are 0, 1, 2 and 7, M = 4; weights 0.518 and 0.35: 2.39 and 1.61: 2 and 2.
    balanced = Story({"method": "stratified", "balance": 0.0, "least": 1, "threshold": 0.7}, labels)
    balanced.next(losses)
    assert balanced.next(losses) == [0, 1, 6, 7]
    assert balanced.selector.series(balanced.table)["quota_per_class"].tolist() == [2, 2]


@pytest.mark.parametrize(("balance", "quota"), [(1.0, [3, 1]), (0.0, [2, 2])])
def test_stratified_follows_the_classes_sizes(balance: float, quota: list[int]) -> None:
    """Classes of six and two that are equally hard, half of all: 6 to 2 of four, or two of each."""
    story = Story({"method": "stratified", "balance": balance, "least": 1}, [0] * 6 + [1] * 2)
    story.share = 0.5
    for _ in range(2):
        story.next([0.7] * 8)
    assert story.selector.series(story.table)["quota_per_class"].tolist() == quota


def test_stratified_shares_out_what_is_hard_or_wrong_in_a_batch() -> None:
    """Six of class 0 and two of class 1, as above: hard are 0, 1, 2; by the other rule 6 too, which is wrong."""
    score = torch.tensor([0.1, 0.2, 0.25, 0.8, 0.8, 0.8, 0.6, 0.72])
    right = torch.tensor([False, False, False, True, True, True, False, True])
    seen = Observed.of(torch.arange(8), -score.log(), score, right)
    content = {"method": "stratified", "score": "fresh", "guards": "off"}
    kept: dict[str, list[list[int]]] = {}
    for rule in ("score", "score_or_wrong"):
        selector = build({**content, "rule": rule}, [0] * 6 + [1] * 2)
        kept[rule] = [selector.keep(seen, At(e, 8, 0.1)).mask_G.nonzero().flatten().tolist() for e in range(40)]
    # M = 3; weights 3.11 and 0.70, so 2.45 and 0.55: class 1 gives one in a bit more than half of the epochs.
    assert {tuple(ids) for ids in kept["score"]} == {(0, 1, 2), (0, 1, 6)}
    assert 12 <= sum(6 in ids for ids in kept["score"]) <= 32
    # M = 4: 3.26 and 0.74. What is wrong comes first, and of class 0 one of the three easy ones is the fourth.
    assert {len(ids) for ids in kept["score_or_wrong"]} == {4}
    assert all({0, 1, 2} <= set(ids) for ids in kept["score_or_wrong"])
    assert sum(6 in ids for ids in kept["score_or_wrong"]) > 20


def test_published_stratified_keeps_what_is_hard_in_a_batch() -> None:
    score = torch.tensor([0.1, 0.9, 0.2, 0.4])
    seen = Observed.of(torch.arange(4), -score.log(), score, score > 0.5)
    for rule, expected in (("score", [0, 2]), ("score_or_wrong", [0, 2, 3])):
        content = {"method": "stratified", "score": "fresh", "published": True, "rule": rule, "guards": "off"}
        keep = build(content, [0, 0, 1, 1]).keep(seen, At(1, 8, 0.1))
        assert keep.mask_G.nonzero().flatten().tolist() == expected
