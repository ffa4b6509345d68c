"""Auto: what it picks and why, what it leaves out, and when it looks again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer import select
from fewer.core.observation import Observed
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At
from stories import BARE, build


def probed(score: torch.Tensor, right: torch.Tensor, share: float | None = None, **content: Any) -> Selector:
    """An `auto` selector behind three epochs of ten on 2,000 samples, a look at 200 of them, and one more epoch."""
    labels = [0, 0, 0, 0, 1, 1, 1, 1] * (len(score) // 8)
    selector, table, pool = (
        build({"method": "auto", "probe": "3ep", **BARE, **content}, labels, 10),
        Table(len(score)),
        torch.arange(2000),
    )
    share = share or content.get("cost")
    for epoch in range(3):
        at = At(epoch, 10, epoch / 10, share)
        assert not len(selector.ids_to_score(table, at))
        assert len(selector.select(table, pool, at).ids_M) == len(score)
        table.observe("trained", Observed.of(pool, -score.log(), score, right), epoch)
    at = At(3, 10, 0.3, share)
    wanted = selector.ids_to_score(table, at)
    assert len(wanted) == 200
    assert selector.note() == ""
    table.observe("scored", Observed.of(wanted, -score[wanted].log(), score[wanted], right[wanted]), 3)
    ids = selector.select(table, pool, at).ids_M
    table.observe("trained", Observed.of(ids, -score[ids].log(), score[ids], right[ids]), 3)
    assert not len(selector.ids_to_score(table, At(4, 10, 0.4, share)))
    selector.select(table, pool, At(4, 10, 0.4, share))
    return selector


def test_auto_picks_by_what_is_left_to_learn_and_by_wrong_labels() -> None:
    stream = torch.Generator().manual_seed(0)
    lot = torch.rand(2000, generator=stream)
    learnt, spread = 1 - 0.1 * lot, 0.9 - 0.7 * lot
    noisy = torch.where(torch.arange(2000) % 4 == 0, 0.01 + 0.02 * lot, 0.95 + 0.05 * lot)
    for score, content, method, word in (
        (learnt, {}, "infobatch", "95% of what the labels say"),
        (spread, {}, "full", "plain training is best here"),
        (spread, {"cost": 0.5}, "srd", "every image still counts"),
        (noisy, {"guards": {}}, "dbpd", "25% of the labels look wrong: it leaves out those"),
        (noisy, {"guards": {"noise_cap": 0.0}}, "full", "25% of the labels look wrong"),
        (noisy, {"cost": 0.5}, "srd", "the hard ones"),
    ):
        note = probed(score, score > 0.5, **content).note()
        assert note.startswith(f"auto picks {method}: "), note
        assert word in note.replace("24%", "25%").replace("26%", "25%"), note


def test_auto_does_not_take_a_high_epoch_for_what_all_may_cost() -> None:
    """From epoch 3 of ten on `infobatch` needs 4.3 epochs. A share of 0.12 bends the curve of `srd` to 4.5; 0.12 and
    0.04 in turn bend it to 3.4."""
    learnt = 1 - 0.1 * torch.rand(2000, generator=torch.Generator().manual_seed(0))
    for keys, method in (({"cost": 0.5}, "infobatch"), ({"cost": 0.5, "oscillation": 0.5}, "srd")):
        assert probed(learnt, learnt > 0.5, 0.12, **keys).note().startswith(f"auto picks {method}: ")


def test_auto_leaves_out_what_looks_wrong() -> None:
    """Every fifth label is wrong: from 30 % of the run on, those are the suspects, and the state says so, too."""
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    score = torch.where(torch.arange(2000) % 5 == 0, 0.01 + 0.02 * lot, 0.5 + 0.4 * lot)
    content = {"guards": {"class_floor": 0.0}}
    selector, table, pool = probed(score, score > 0.4, **content), Table(2000), torch.arange(2000)
    table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.4), 4)
    again = build({"method": "auto", **content}, [0, 1] * 1000, 10)
    again.load_state_dict(selector.state_dict())
    for each in (selector, again):
        kept = each.select(table, pool, At(5, 10, 0.5)).ids_M
        assert len(each.suspected()) == pytest.approx(400, rel=0.1)
        assert (each.suspected() % 5 == 0).all()
        assert set(kept.tolist()) == set(pool.tolist()) - set(each.suspected().tolist())
        assert len(each.ids_to_score(table, At(6, 10, 0.6))) > 50, "a quarter of them is looked at again"
        assert each.note() == selector.note()


def test_auto_prunes_under_a_cost_that_allows_it() -> None:
    learnt = 1 - 0.1 * torch.rand(2000, generator=torch.Generator().manual_seed(0))
    for share, method, word in ((0.5, "infobatch", "95% of"), (0.02, "srd", "infobatch costs more than is asked")):
        note = probed(learnt, learnt > 0.5, share, cost=0.5).note()
        assert note.startswith(f"auto picks {method}: "), note
        assert word in note


def test_auto_keeps_the_guards_that_were_asked_for() -> None:
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    score = torch.where(torch.arange(2000) % 5 == 0, 0.01 + 0.02 * lot, 0.9999 + 0.0001 * lot)
    floors = []
    for floor in (0.0, 0.25):
        selector = probed(score, score > 0.4, guards={"class_floor": floor, "never_empty": False})
        floors.append(selector.counts().get("guard.class_floor", 0.0))
    assert floors == [0.0, 500.0], "a quarter of 2,000, of which the suspects are none"


def test_auto_believes_in_wrong_labels_only_if_they_are_predicted_wrongly_again() -> None:
    """A quarter stands apart at the look; nearly half of these images are predicted rightly an epoch later."""
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    score = torch.where(torch.arange(2000) % 4 == 0, 0.01 + 0.02 * lot, 0.95 + 0.05 * lot)
    selector = build({"method": "auto", "probe": "3ep"}, ([0] * 4 + [1] * 4) * 250, 10)
    table, pool = Table(2000), torch.arange(2000)
    for epoch in range(3):
        table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), epoch)
    wanted = selector.ids_to_score(table, At(3, 10, 0.3))
    table.observe("scored", Observed.of(wanted, -score[wanted].log(), score[wanted], score[wanted] > 0.5), 3)
    selector.select(table, pool, At(3, 10, 0.3))
    state = selector.state_dict()
    for lucky, said in ((0.4, "full"), (0.1, "dbpd")):
        selector.load_state_dict(state)
        right = (score > 0.5) | (torch.rand(2000, generator=torch.Generator().manual_seed(1)) < lucky)
        table.observe("trained", Observed.of(pool, -score.log(), score, right), 3)
        selector.select(table, pool, At(4, 10, 0.4))
        assert selector.note().startswith(f"auto picks {said}: ")


def test_auto_trains_plainly_where_its_probe_takes_all_of_the_run() -> None:
    for probe, epochs in (("15%", 1), ("3ep", 2)):
        selector, table, pool = (
            build({"method": "auto", "probe": probe}, [0, 1] * 50, epochs),
            Table(100),
            torch.arange(100),
        )
        assert not select.params("auto").model_validate({"probe": probe}).conflicts(epochs)
        for epoch in range(epochs):
            at = At(epoch, epochs, epoch / epochs)
            assert not len(selector.ids_to_score(table, at))
            assert selector.select(table, pool, at).ids_M.tolist() == pool.tolist()
            assert "auto trains plainly" in selector.note()
            assert selector.expected(at).kept_low == 1.0


def test_auto_looks_again_while_nothing_is_left_out() -> None:
    """Wrong labels stand apart only once right ones are learnt: it looks before epochs 2 and 4 of ten, and no more."""
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    early, pool = 0.3 + 0.4 * lot, torch.arange(2000)
    late = torch.where(pool % 5 == 0, 0.01 + 0.02 * lot, 0.5 + 0.4 * lot)
    for keys, cost, said in (
        ({"guards": {}}, None, "dbpd"),
        ({"cost": 0.9}, 0.9, "srd"),
        ({"probe": "3ep", "guards": {}}, None, "full"),
    ):
        selector, table = build({"method": "auto", "probe": "2ep", **keys}, [0, 1] * 1000, 10), Table(2000)
        looks = []
        for epoch in range(10):
            at = At(epoch, 10, epoch / 10, cost)
            score = early if epoch < 4 else late
            wanted = selector.ids_to_score(table, at)
            if selector.expected(at).scored and len(wanted) == 200:
                looks.append(epoch)
            table.observe(
                "scored", Observed.of(wanted, -score[wanted].log(), score[wanted], score[wanted] > 0.4), epoch
            )
            ids = selector.select(table, pool, at).ids_M
            table.observe("trained", Observed.of(ids, -score[ids].log(), score[ids], score[ids] > 0.4), epoch)
        assert looks == {"dbpd": [2, 4], "srd": [2], "full": [3]}[said]
        assert selector.note().startswith(f"auto picks {said}: ")
