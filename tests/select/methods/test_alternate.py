"""Alternate epochs: scoring in even ones, and one list for two."""

from __future__ import annotations

import torch

from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import At
from stories import BARE, EPOCHS, build


def test_alternate_scores_in_even_epochs_and_keeps_the_list_for_two() -> None:
    content = {"method": "alternate", "threshold": 0.5, **BARE}
    selector, table, pool = build(content, [0] * 4), Table(4), torch.arange(4)
    score = torch.tensor([0.1, 0.4, 0.6, 0.9])
    for epoch in range(2):
        at = At(epoch, EPOCHS, epoch / EPOCHS)
        assert len(selector.ids_to_score(table, at)) == 0
        assert selector.select(table, pool, at).ids_M.tolist() == [0, 1, 2, 3]
        table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), epoch)
    at = At(2, EPOCHS, 0.25)
    assert selector.ids_to_score(table, at).tolist() == [0, 1, 2, 3]
    scored = torch.tensor([0.6, 0.2, 0.3, 0.9])
    table.observe("scored", Observed.of(pool, -scored.log(), scored, scored > 0.5), 2)
    assert selector.select(table, pool, at).ids_M.tolist() == [1, 2]
    table.observe(
        "trained", Observed.of(torch.tensor([1, 2]), torch.zeros(2), torch.ones(2), torch.ones(2, dtype=torch.bool)), 2
    )
    at = At(3, EPOCHS, 0.375)
    assert len(selector.ids_to_score(table, at)) == 0
    assert selector.select(table, pool, at).ids_M.tolist() == [1, 2], "learnt since, but on the list"


def test_alternate_keeps_its_list_under_a_stated_cost() -> None:
    """What the first of two epochs has taught must not turn the second one's list around."""
    selector = build({"method": "alternate", "cost": 0.5, "guards": "off"}, [0] * 8, epochs=10)
    table, pool = Table(8), torch.arange(8)
    scored = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    table.observe("scored", Observed.of(pool, -scored.log(), scored, scored > 0.5), 2)
    for epoch in (2, 3):
        ids = selector.select(table, pool, At(epoch, 10, epoch / 10, share=0.5)).ids_M
        assert ids.sort().values.tolist() == [0, 1, 2, 3]
        learnt = torch.full((len(ids),), 0.99)
        table.observe("trained", Observed.of(ids, -learnt.log(), learnt, learnt > 0.5), epoch)


def test_what_no_epoch_has_shown_is_hard() -> None:
    selector, table = build({"method": "alternate", "threshold": 0.5, **BARE}, [0] * 6), Table(6)
    scored, seen = torch.tensor([0.1, 0.9, 0.2]), torch.tensor([0, 2, 4])
    table.observe("scored", Observed.of(seen, -scored.log(), scored, scored > 0.5), 2)
    assert selector.select(table, seen, At(2, EPOCHS, 0.25)).ids_M.tolist() == [0, 4]
    odd = selector.select(table, torch.tensor([1, 2, 3, 4, 5]), At(3, EPOCHS, 0.375))
    assert odd.ids_M.tolist() == [1, 3, 4, 5]
