"""DBPD: stale and fresh scores, its rules, and a stated cost, worked by hand."""

from __future__ import annotations

import torch

from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At
from stories import Story, build, build_on


def test_dbpd_keeps_what_is_wrong_where_the_rule_says_so() -> None:
    def losses(*score: float) -> list[float]:
        return (-torch.tensor(score).log()).tolist()

    for rule, expected in (("score", [[0], [0], [0]]), ("score_or_wrong", [[0, 1], [0, 1], [0]])):
        story = Story({"method": "dbpd", "rule": rule}, [0] * 4)
        story.next(losses(0.2, 0.35, 0.35, 0.9), wrong={0, 1})
        found = [
            story.next(losses(0.25, 0.4, 0.9, 0.9), wrong={1}),
            story.next(losses(0.29, 0.4, 0.9, 0.9)),
            story.next(losses(0.9, 0.9, 0.9, 0.9)),
        ]
        assert found == expected, "a probability of 0.35 below another of 0.4 is wrong and not hard"


def test_dbpd_ranks_what_is_wrong_first_under_a_stated_cost() -> None:
    losses = (-torch.tensor([0.1, 0.2, 0.45, 0.9]).log()).tolist()
    for rule, expected in (("score", [0, 1]), ("score_or_wrong", [0, 2])):
        story = Story({"method": "dbpd", "rule": rule, "cost": 0.6}, [0] * 4)
        story.share = 0.5
        story.next(losses, wrong={0, 2})
        assert story.next(losses) == expected


def test_fresh_dbpd_keeps_the_hardest_of_a_batch_under_a_cost() -> None:
    selector = build({"method": "dbpd", "score": "fresh", "guards": "off"}, [0] * 8)
    score = torch.tensor([0.5, 0.1, 0.9, 0.8, 0.2, 0.7, 0.6, 0.4])
    keep = selector.keep(Observed.of(torch.arange(8), -score.log(), score, score > 0.5), At(1, 8, 0.1, share=0.25))
    assert keep.mask_G.nonzero().flatten().tolist() == [1, 4]


def test_dbpd_by_hand() -> None:
    """Eight samples over three epochs, worked on paper: stale scores with threshold 0.5."""
    population = Population(0, torch.zeros(8, dtype=torch.int64), 2)
    selector = build_on({"method": "dbpd", "threshold": 0.5, "revision": "1ep", "guards": "off"}, population, epochs=4)
    table, pool = Table(8), torch.arange(8)
    expected = [
        [0, 1, 2, 3, 4, 5, 6, 7],  # nothing is known yet: all
        [0, 3, 6],  # below 0.5 after epoch 0
        [3],  # 0 and 6 have been learnt; the dropped keep their old score
        [0, 1, 2, 3, 4, 5, 6, 7],  # revision
    ]
    scores = [[0.1, 0.9, 0.5, 0.2, 0.7, 0.8, 0.4, 1.0], [0.6, 0.3, 0.9], [0.2]]
    for epoch, ids in enumerate(expected):
        chosen = selector.select(table, pool, At(epoch, 4, epoch / 4))
        assert chosen.ids_M.tolist() == ids
        if epoch < 3:
            score = torch.tensor(scores[epoch])
            table.observe("trained", Observed.of(torch.tensor(ids), -score.log(), score, score > 0.5), epoch)


def test_fresh_dbpd_keeps_what_is_below_the_threshold() -> None:
    """Whatever is stored, and however a batch is put together: what it scores now decides."""
    content = {"method": "dbpd", "score": "fresh", "threshold": 0.3, "guards": "off"}
    selector = build_on(content, Population(0, torch.zeros(12, dtype=torch.int64), 2))
    scores = [
        [0.29, 0.3, 0.31, 0.1, 0.9, 0.8, 0.7, 0.2, 0.95, 0.6, 0.5, 0.4],
        [0.9, 0.9, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.25],
        [0.9, 0.9, 0.9, 0.9, 0.01, 0.9, 0.02, 0.9, 0.03, 0.9, 0.9, 0.9],
    ]
    for epoch, (now, expected) in enumerate(zip(scores, ([0, 3, 7], [2, 11], [4, 6, 8]), strict=True)):
        at, kept = At(epoch, 6, epoch / 6), []
        assert selector.select(Table(12), torch.arange(12), at).ids_M.tolist() == list(range(12)), "all are looked at"
        for ids in (torch.arange(8), torch.arange(8, 12)):
            score = torch.tensor(now)[ids]
            kept += ids[selector.keep(Observed.of(ids, -score.log(), score, score > 0.5), at).mask_G].tolist()
        assert kept == expected
