"""APD: quotas of classes, worked by hand."""

from __future__ import annotations

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import At
from stories import ALL8, Story, build


def test_apd_by_hand() -> None:
    """d starts at 0.5 and moves by a tenth towards the share of hard samples; quotas follow pi (d + eps)."""
    labels = [0] * 4 + [1] * 4
    story = Story({"method": "apd", "alpha": 0.5}, labels)
    score = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9])
    losses = (-score.log()).tolist()
    assert story.next(losses) == ALL8
    second = story.next(losses)
    # Hard: 4 of 4 and 1 of 4. d = 0.75 and 0.375; weights 4 * 0.76 and 4 * 0.385; M = 5: 3.32 and 1.68.
    series = story.selector.series(story.table)
    assert series["hard_rate_per_class"].tolist() == [0.75, 0.375]
    assert series["proportion_per_class"].tolist() == pytest.approx([0.76 / 1.145, 0.385 / 1.145])
    assert series["quota_per_class"].tolist() == [3, 2]
    assert [sum(i < 4 for i in second), sum(i >= 4 for i in second)] == [3, 2]
    # Nothing is learnt: 1 and 1/4 are hard again. d = 0.875 and 0.3125; weights 3.54 and 1.29: 3.66 and 1.34 of five.
    third = story.next([0.0] * 4 + losses[4:])
    series = story.selector.series(story.table)
    assert series["hard_rate_per_class"].tolist() == [0.875, 0.3125]
    assert series["quota_per_class"].tolist() == [4, 1]
    assert third[:4] == [0, 1, 2, 3]
    # Class 0 is learnt: 0 and 1/4. d = 0.4375 and 0.28125; one hard sample, and one of each class at least.
    assert [i < 4 for i in story.next(losses)] == [True, False]
    assert story.selector.series(story.table)["hard_rate_per_class"].tolist() == [0.4375, 0.28125]


def test_apd_follows_the_classes_sizes() -> None:
    """Half of six and half of two are hard: d = 0.5 in both; M = 4, by 6 * 0.51 and 2 * 0.51: 3 and 1."""
    story = Story({"method": "apd", "alpha": 0.5}, [0] * 6 + [1] * 2)
    losses = (-torch.tensor([0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.9]).log()).tolist()
    for _ in range(2):
        story.next(losses)
    assert story.selector.series(story.table)["quota_per_class"].tolist() == [3, 1]


def test_fresh_apd_draws_in_each_batch_and_learns_behind_the_epoch() -> None:
    """Hard: 4 of 4 of class 0, 1 of 4 of class 1, and by the other rule one more, which is wrong."""
    score = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.9, 0.9])
    seen = Observed.of(torch.arange(8), -score.log(), score, score > 0.5)
    for rule, hard, second in (("score", 5, 0.375), ("score_or_wrong", 6, 0.5)):
        content = {"method": "apd", "alpha": 0.5, "score": "fresh", "rule": rule, "guards": "off"}
        selector, table, pool = build(content, [0] * 4 + [1] * 4), Table(8), torch.arange(8)
        assert selector.select(table, pool, At(0, 8, 0.0)).ids_M.tolist() == ALL8
        kept = selector.keep(seen, At(0, 8, 0.0)).mask_G
        # Equal difficulties at first: half each, of five at random 3 and 2 or 2 and 3.
        assert int(kept.sum()) == hard
        assert int(kept[:4].sum()) in ((2, 3) if hard == 5 else (3,))
        again = build(content, [0] * 4 + [1] * 4)
        again.load_state_dict(selector.state_dict())
        for each in (selector, again):
            each.select(table, pool, At(1, 8, 0.1))
            series = each.series(table)
            assert series["hard_rate_per_class"].tolist() == [0.75, second], "0.5 and 4 of 4; 0.5 and what was hard"
            assert series["proportion_per_class"][0] == pytest.approx(0.76 / (0.76 + second + 0.01))


def test_fresh_apd_gives_small_classes_their_part_of_small_batches() -> None:
    """Twelve equally hard classes in a batch of 24, four of them drawn: over many batches each has a twelfth."""
    labels = list(range(12)) * 2
    selector = build({"method": "apd", "score": "fresh", "guards": "off", "weights": "inclusion"}, labels)
    selector.select(Table(24), torch.arange(24), At(0, 300, 0.0))
    score = torch.tensor(([0.1] * 2 + [0.9] * 10) * 2)
    seen, drawn_C = Observed.of(torch.arange(24), -score.log(), score, score > 0.5), torch.zeros(12)
    for epoch in range(300):
        keep = selector.keep(seen, At(epoch, 300, 0.1))
        assert int(keep.mask_G.sum()) == 4
        assert keep.weight_G[keep.mask_G].tolist() == pytest.approx([6.0] * 4), "a probability of 4 / 24"
        drawn_C += torch.tensor(labels)[keep.mask_G].bincount(minlength=12)
    assert (drawn_C - 100).abs().max() < 35, "largest remainders would give 300 to four classes"
