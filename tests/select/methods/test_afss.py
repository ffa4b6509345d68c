"""Sampling by precision and recall: choices by hand, what a task must tell, what is booked, and the laws of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer import select
from fewer.core.errors import RecipeError
from fewer.core.observation import Observed
from fewer.core.protocols import Selector
from fewer.core.table import Kind, Table
from fewer.core.types import At
from fewer.testing import check_selector, laws
from fewer.testing.harness import Content, one_thread, session_of, trained
from found_things import known, told
from stories import BARE, build

CONTENT: dict[str, Any] = {"method": "afss", "hard_until": 0.5, "easy_from": 0.8, "warmup": "1ep"}
DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "93%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 6, "batch_size": 32, "lr": 0.05, "seed": 0},
    "select": {**CONTENT, "hard_until": 0.1, "easy_from": 0.11, "look_every": 2, "review_every": 3},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


class Play:
    """A selector on samples whose precision and recall are given."""

    def __init__(self, content: dict[str, Any], size: int, epochs: int = 12) -> None:
        self.selector: Selector = build({**BARE, **CONTENT, **content}, [0] * size, epochs)
        self.table, self.size, self.epochs = Table(size, self.selector.columns), size, epochs

    def at(self, epoch: int, share: float | None = None) -> At:
        return At(epoch, self.epochs, epoch / self.epochs, share)

    def observe(self, kind: Kind, ids: list[int], epoch: int, **columns: torch.Tensor) -> None:
        loss = torch.ones(len(ids))
        self.table.observe(kind, Observed.of(torch.tensor(ids), loss, loss / 2, loss > 0, **columns), epoch)

    def wanted(self, epoch: int) -> list[int]:
        return self.selector.ids_to_score(self.table, self.at(epoch)).sort().values.tolist()

    def chosen(self, epoch: int, share: float | None = None) -> list[int]:
        found = self.selector.select(self.table, torch.arange(self.size), self.at(epoch, share))
        return found.ids_M.sort().values.tolist()


def looked_at(content: dict[str, Any], lower: list[float]) -> Play:
    """A play whose first epoch is over, and whose images have been looked at with these results."""
    play, everything = Play(content, len(lower)), list(range(len(lower)))
    assert play.wanted(0) == []
    assert play.chosen(0) == everything, "the first epoch is on everything"
    play.observe("trained", everything, 0)
    assert play.wanted(1) == everything, "then everything is looked at once"
    play.observe("scored", everything, 1, **known(lower, [1.0] * len(lower)))
    return play


def test_hard_images_are_always_there_and_easy_ones_once_in_a_while() -> None:
    """Four hard, four middling, four easy; half of the middling in each epoch, easy ones every fourth."""
    lower = [0.1, 0.5, 0.2, 0.3, 0.6, 0.7, 0.8, 0.51, 0.81, 0.9, 1.0, 0.99]
    play = looked_at({"middling": 0.5, "review_every": 4, "look_every": 100}, lower)
    seen: list[list[int]] = []
    for epoch in range(1, 9):
        ids = play.chosen(epoch)
        assert set(range(4)) <= set(ids)
        assert len([i for i in ids if 4 <= i < 8]) == 2
        play.observe("trained", ids, epoch)
        seen.append(ids)
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        both = {i for i in first + second if 4 <= i < 8}
        assert both == {4, 5, 6, 7}, "those come first that have waited longest"
    for start in (0, 4):
        easy = sorted(i for ids in seen[start : start + 4] for i in ids if i >= 8)
        assert easy == [8, 9, 10, 11], "each easy one has one turn in four epochs"
    assert play.selector.counts()["afss.easy"] == 4


def test_the_lower_of_the_two_counts() -> None:
    play = looked_at({"middling": 0.0, "review_every": 1000, "look_every": 100}, [0.9] * 4)
    play.observe("scored", [0, 1, 2, 3], 2, **known([0.9, 0.1, 0.9, 0.1], [0.1, 0.9, 0.9, 0.1]))
    assert set(play.chosen(2)) - {2} == {0, 1, 3}


def test_looks_come_by_turns_and_what_is_unknown_is_hard() -> None:
    play = looked_at({"look_every": 4}, [0.9] * 12)
    turns = [play.wanted(epoch) for epoch in range(2, 6)]
    assert sorted(i for turn in turns for i in turn) == list(range(12)), "each once in four epochs"
    assert [len(turn) for turn in turns] == [3, 3, 3, 3]
    play = Play({}, 4)
    play.observe("trained", [0, 1, 2, 3], 0)
    play.observe("scored", [0], 1, **known([0.9], [0.9]))
    assert {1, 2, 3} <= set(play.chosen(1))
    assert {1, 2, 3} <= set(play.wanted(2))


def test_what_training_tells_need_not_be_looked_at() -> None:
    play, ids = Play({"look_every": 2}, 6), list(range(6))
    play.observe("trained", ids, 0, **known([0.9] * 3 + [0.1] * 3, [1.0] * 6))
    assert play.wanted(1) == []
    assert {3, 4, 5} <= set(play.chosen(1))
    play.observe("trained", [3, 4, 5], 1, **known([0.9] * 3, [1.0] * 3))
    assert sorted(play.wanted(2) + play.wanted(3))[:3] == [0, 1, 2], "these have not been trained on since"


def test_under_a_cost_reviews_come_first_then_hard_images() -> None:
    lower = [0.9] * 4 + [0.7] * 4 + [0.4, 0.3, 0.2, 0.1]
    play = looked_at({"review_every": 4, "look_every": 100}, lower)
    for epoch in range(2, 6):
        due = [i for i in play.chosen(epoch) if i < 4]
        count = len(due)
        assert play.chosen(epoch, (count + 2) / 12) == [*due, 10, 11], "the hardest ones are the last two"
        assert play.chosen(epoch, (count + 4) / 12) == [*due, 8, 9, 10, 11]
        assert len(set(play.chosen(epoch, (count + 6) / 12)) & {4, 5, 6, 7}) == 2


@pytest.mark.parametrize(
    "content", [{}, {"review_every": 1, "middling": 1.0}, {"batches": "shrink"}, {"hard_until": 1.0, "easy_from": 1.0}]
)
def test_it_keeps_the_contract(content: dict[str, Any]) -> None:
    keys = {**CONTENT, **content}
    check_selector(lambda population: select.build(select.params("afss")(**keys), population, 6))


def test_keys_that_do_not_go_together() -> None:
    found = select.params("afss")(method="afss", hard_until=0.9, easy_from=0.5, refresh_every=2, rank_within="all")
    assert set(found.conflicts(6)) == {"easy_from", "refresh_every", "rank_within"}


def test_a_task_that_tells_no_precision_is_named() -> None:
    with pytest.raises(RecipeError, match=r'by precision and recall of each image, which task\.name = "classify" does'):
        session_of(DIGITS)


def test_off_is_plain() -> None:
    """Nobody is asked for precision then: any task will do."""
    laws.off_is_plain(DIGITS, [{"method": "afss", **each} for each in select.METHODS.module("afss").NEUTRAL])
    with told():
        laws.off_is_plain(DIGITS, [{**DIGITS["select"], "middling": 1.0, "review_every": 1}])


@pytest.mark.parametrize("in_training", [False, True])
def test_the_laws_of_a_run_hold(in_training: bool) -> None:
    with told(in_training):
        unstopped = trained(DIGITS)
        table, kept = unstopped.run.selection.table, unstopped.run.ledger.full_epoch_equivalents
        assert table.column("trained", "precision").isnan().all() != in_training
        assert kept < 5.9, "it must leave something out, or this shows nothing"
        laws.looking_changes_nothing(DIGITS, unstopped)
        laws.resumed_is_never_stopped(DIGITS, unstopped)
        laws.ledger_is_what_happened(DIGITS)
        laws.ranks_agree(DIGITS)


def test_looks_are_booked() -> None:
    looks = {}
    for in_training in (False, True):
        with told(in_training):
            run = trained(DIGITS).run
        images = len(run.selection.pool_ids)
        looks[in_training] = run.ledger.total("samples_forwarded") - run.ledger.total("samples_backpropagated")
    assert looks[False] == images * (1 + 4 / 2), "all of them once, then a half before each of four epochs"
    assert 0 < looks[True] < images, "only of what has been left out for two epochs"


def test_it_meets_a_stated_cost() -> None:
    select_ = {"method": "afss", "cost": 0.7}
    with told():
        session = trained({**DIGITS, "train": {**DIGITS["train"], "epochs": 8}, "select": select_})
        assert session.run.ledger.full_epoch_equivalents / 8 == pytest.approx(0.7, rel=0.01)
