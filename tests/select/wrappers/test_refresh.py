"""What was left out is scored again where it is asked for."""

from __future__ import annotations

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At
from stories import build_on


def test_dbpd_scores_the_dropped_again_where_asked() -> None:
    population = Population(0, torch.zeros(4, dtype=torch.int64), 2)
    selector = build_on({"method": "dbpd", "threshold": 0.5, "refresh_every": 1, "guards": "off"}, population)
    table, at = Table(4), At(1, 6, 1 / 6)
    score = torch.tensor([0.9, 0.1, 0.8, 0.2])
    table.observe("trained", Observed.of(torch.arange(4), -score.log(), score, score > 0.5), 0)
    assert selector.ids_to_score(table, at).tolist() == [], "nothing has been left out yet"
    assert selector.select(table, torch.arange(4), at).ids_M.tolist() == [1, 3]
    table.observe(
        "trained", Observed.of(torch.tensor([1, 3]), -score[[1, 3]].log(), score[[1, 3]], score[[1, 3]] > 0.5), 1
    )
    at = At(2, 6, 2 / 6)
    assert selector.ids_to_score(table, at).tolist() == [0, 2]
    forgotten = torch.tensor([0.3])
    table.observe("scored", Observed.of(torch.tensor([2]), -forgotten.log(), forgotten, forgotten > 0.5), 2)
    assert selector.select(table, torch.arange(4), at).ids_M.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("before", "now", "scored"),
    [(1.0, 1.0, 0.3), (1.0, 0.6, 0.3), (0.6, 1.0, 0.58), (0.6, 0.6, 0.7667), (0.4, 0.5, 1.0)],
)
def test_what_the_last_stage_did_not_show_is_left_out_too(before: float, now: float, scored: float) -> None:
    """Of the images shown now, the last epoch had shown a part, and kept 70 % of it."""
    population = Population(0, torch.zeros(100, dtype=torch.int64), 1)
    keys = {"method": "kakurenbo", "refresh_every": 1, "guards": "off"}
    at = At(2, 6, 2 / 6, 0.7, now, last_data_share=before)
    assert build_on(keys, population).expected(at).scored == pytest.approx(scored, abs=1e-4)
