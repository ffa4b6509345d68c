"""Selection in loops that are not ours: the same choices as in our own, on any number of ranks."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

import fewer
from fewer import select
from fewer.core.errors import DataError, DivergedError, FewerError, RecipeError, UsageError
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import MethodParams
from fewer.select.own_loop import Chooser
from fewer.select.registry import METHODS
from fewer.testing import check_selector
from fewer.testing.harness import one_thread, trained
from fewer.testing.ranks import on_ranks
from fewer.training.run import state_digest
from own_loops import EPOCHS, LABELS, SETTINGS, SIZE, build, epochs_of, look, pickled, said, step
from paths import EXAMPLES

DIGITS: dict[str, Any] = {
    "data": {"source": "digits", "val": "none", "test": "90%"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"epochs": 5, "batch_size": 16, "lr": 0.1, "seed": 4},
}


@pytest.mark.parametrize("content", [SETTINGS[0], SETTINGS[3], SETTINGS[4], SETTINGS[5]], ids=str)
def test_choices_are_those_of_our_own_loop(content: dict[str, Any]) -> None:
    """Fed with the losses of one of our own runs, the chooser lists the run's samples in its order."""
    choosers: list[Chooser] = []
    orders: list[Tensor] = []
    told: set[tuple[float, float]] = set()

    def compare(session: Any, row: Any) -> None:
        run = session.run
        if not choosers:
            choosers.append(Chooser(labels=session.splits.train.label_N, epochs=5, seed=4, **content))
        (chooser,) = choosers
        if row.batch == 0:
            orders.append(run.selection.order.samples.ids_G)
            observe(chooser, run.selection.table, chooser.ids_to_score(row.epoch), "scored")
            chooser.begin(row.epoch)
            assert list(chooser.sampler) == orders[-1].tolist()
            assert torch.equal(chooser.weights(orders[-1]), run.selection.order.samples.weight_G.float())
            assert chooser.lr_scale == run.selection.order.lr_scale
            told.add((float(chooser.weights(orders[-1]).max()), chooser.lr_scale))
        if row.epoch_end:
            observe(chooser, run.selection.table, orders[-1], "trained")

    def observe(chooser: Chooser, table: fewer.Table, ids: Tensor, kind: Any) -> None:
        loss, score, right = (table.column(kind, name)[ids] for name in ("loss", "score", "right"))
        chooser.observe(ids, loss, score_B=score, right_B=right, kind=kind)

    trained({**DIGITS, "select": content}, look=compare)
    assert len(orders) == 5
    assert (len(told) > 1) == (content["method"] in ("kakurenbo", "infobatch")), "longer steps; weights"


# --- Ranks ----------------------------------------------------------------------------------------------------------


def history(comm: Any, content: dict[str, Any]) -> tuple[list[list[int]], list[list[float]], str, dict[str, float]]:
    """What a rank is given, the weights it trains with, and what it knows in the end."""
    chooser, told, weights = build(content, comm), [], []
    workers = 1 if comm is None else comm.world_size
    for epoch in range(EPOCHS):
        look(chooser, epoch)
        chooser.begin(epoch)
        told.append(list(chooser.sampler))
        total = torch.zeros(SIZE)
        for batch in torch.tensor(told[-1]).split(8 // workers):
            total += step(chooser, batch, epoch)
        weights.append(total.tolist())
    chooser.gather()
    chooser._epochs.end(chooser._comm)
    return told, weights, state_digest(chooser.table.state_dict()), chooser.spent()


def both(comm: Any) -> list[Any]:
    return [history(comm, content) for content in SETTINGS] + [_disagreeing(comm), _saved(comm)]


def _disagreeing(comm: Any) -> str:
    try:
        build({"method": "random", "share": 0.5 + comm.rank / 10}).begin(0)
    except UsageError as error:
        return str(error)
    return "nothing noticed"


def _saved(comm: Any) -> Any:
    """A state in the middle of epoch 1, and what saving without gathering says."""
    chooser = build(SETTINGS[4])
    epochs_of(chooser, last=1, batch_size=4)
    chooser.begin(1)
    for batch in torch.tensor(list(chooser.sampler)).split(4)[:3]:
        step(chooser, batch, 1)
    try:
        chooser.state_dict()
        said = "nothing noticed"
    except UsageError as error:
        said = str(error)
    chooser.gather()
    return said, pickled(chooser.state_dict()) if comm.rank == 0 else b"", list(chooser.sampler)


@pytest.fixture(scope="module")
def ranks() -> list[Any]:
    """What two processes say of every setting."""
    with one_thread():
        return on_ranks(2, both)


@pytest.mark.parametrize("number", range(len(SETTINGS)), ids=lambda number: str(SETTINGS[number]))
def test_two_processes_choose_as_one_does(ranks: list[Any], number: int) -> None:
    alone, weights, digest, spent = history(None, SETTINGS[number])
    (first, first_weights, first_digest, first_spent), (second, second_weights, second_digest, _) = (
        rank[number] for rank in ranks
    )
    assert digest == first_digest == second_digest, "the table, bit for bit"
    assert spent == first_spent
    for epoch, ids in enumerate(alone):
        assert len(first[epoch]) == len(second[epoch]), "as many batches on every rank"
        own = second[epoch][:-1] if len(ids) % 2 else second[epoch]
        assert sorted(first[epoch] + own) == sorted(ids), "each sample on one rank, the last one aside"
        if "score" not in SETTINGS[number]:
            both = torch.tensor(first_weights[epoch]) + torch.tensor(second_weights[epoch])
            assert torch.equal(both, torch.tensor(weights[epoch])), "padding weighs nothing"
    assert any(len(ids) % 2 for ids in alone), "padding is tried"


def test_ranks_that_disagree_are_told(ranks: list[Any]) -> None:
    assert all("ranks disagree about epoch 0" in rank[len(SETTINGS)] for rank in ranks)


def test_a_state_of_two_processes_goes_on_in_one(ranks: list[Any]) -> None:
    (said, state, first), (_, _, second) = (rank[len(SETTINGS) + 1] for rank in ranks)
    assert "chooser.gather() on every rank" in said
    chooser = build(SETTINGS[4])
    chooser.load_state_dict(torch.load(io.BytesIO(state), weights_only=True))
    chooser.begin(1)
    left = list(chooser.sampler)
    assert sorted(left) == sorted({*first, *second})
    whole = build(SETTINGS[4])
    epochs_of(whole, last=1)
    whole.begin(1)
    assert left == list(whole.sampler)[24:], "three batches of four on each of two ranks are done"


# --- What it costs --------------------------------------------------------------------------------------------------


COSTED = [name for name in select.names() if "cost" in select.params(name).model_fields]


NOT_HERE = ("afss", "proxy")  # whose columns, and whose small net, this loop does not have


@pytest.mark.parametrize("name", [name for name in COSTED if name not in NOT_HERE])
def test_a_stated_cost_is_met(name: str) -> None:
    """With forwards at a third of a trained sample; of 61 samples one is 1.6 % of an epoch."""
    cost = 0.9 if name == "ies" else 0.75
    chooser = build({"method": name, "cost": cost, "epochs": 10, "reference_loss": torch.arange(SIZE) / SIZE})
    for epoch in range(10):
        look(chooser, epoch)
        chooser.begin(epoch)
        for batch in torch.tensor(list(chooser.sampler)).split(8):
            step(chooser, batch, epoch)
    assert chooser.spent()["full_epoch_equivalents"] / 10 == pytest.approx(cost, rel=0.02)


def test_what_is_wanted_and_not_scored_is_trained_on() -> None:
    """The noise guard looks at suspects again; a loop that scores nothing gets them to train on, and is told."""
    plain, looking = build(SETTINGS[0]), build(SETTINGS[0])
    told = []
    for epoch in range(EPOCHS):
        plain.begin(epoch)
        for batch in torch.tensor(list(plain.sampler)).split(8):
            step(plain, batch, epoch)
        told.append(plain.counts().get("looked_at_by_training", 0))
    epochs_of(looking)
    assert sum(told) > 0
    assert "looked_at_by_training" not in looking.counts()
    assert looking.spent()["full_epoch_equivalents"] > looking.spent()["effective_epochs"]


def test_kakurenbo_tells_its_learning_rate() -> None:
    chooser = build({"method": "kakurenbo", "hidden": 0.5, "confidence": 0.0})
    scales = []
    for epoch in range(2):
        epochs_of(chooser, first=epoch, last=epoch + 1)
        scales.append(chooser.lr_scale)
    assert scales[0] == 1.0
    assert scales[1] == pytest.approx(SIZE / chooser.counts()["chosen"])
    assert scales[1] > 1.1


# --- Selectors of others --------------------------------------------------------------------------------------------


class Odd(BaseSelector):
    """Chooses every other sample."""

    def select(self, table: fewer.Table, pool_ids: Tensor, at: At) -> Selection:
        return unweighted(pool_ids[at.epoch % 2 :: 2])

    def expected(self, at: At) -> Expectation:
        return Expectation(0.4, 0.6)


def test_any_selector_will_do() -> None:
    chooser = Chooser(Odd(), LABELS, epochs=3)
    assert [sorted(ids)[0] for ids in epochs_of(chooser, last=3)] == [0, 1, 0]
    with pytest.raises(RecipeError, match="leave share out"):
        Chooser(Odd(), LABELS, epochs=3, share=0.5)


def test_methods_of_other_packages_go_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point named "hardest", as an installed package would have it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    entry = EntryPoint("hardest", "own_selector", "fewer.select")
    monkeypatch.setitem(METHODS._installed, "hardest", entry)
    try:
        chooser = Chooser("hardest", LABELS, epochs=3, share=0.25)
        assert [len(ids) for ids in epochs_of(chooser, last=3)] == [SIZE, 15, 15]
        check_selector(lambda population: select.build(select.params("hardest")(), population, 6))
        with pytest.raises(RecipeError, match='unknown key "shard"; did you mean "share"'):
            Chooser("hardest", LABELS, epochs=3, shard=0.25)
    finally:
        METHODS._modules.pop("hardest", None)


def test_methods_that_compare_losses_need_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    class Params(MethodParams):
        method: Literal["excess"] = "excess"
        reference: str | None = None
        needs_reference: ClassVar[bool] = True

    class Excess(Odd):
        def __init__(self, population: Population) -> None:
            assert population.reference_loss_N is not None
            self.easy_N = population.reference_loss_N < 1

        def select(self, table: fewer.Table, pool_ids: Tensor, at: At) -> Selection:
            return unweighted(pool_ids[self.easy_N[pool_ids]])

    module = SimpleNamespace(Params=Params, build=lambda params, population: Excess(population))
    monkeypatch.setitem(METHODS._modules, "excess", module)
    loss_N = torch.arange(SIZE) / 30
    assert len(next(iter(epochs_of(Chooser("excess", LABELS, epochs=2, reference_loss=loss_N), last=1)))) == 30
    with pytest.raises(RecipeError, match="excess needs reference_loss"):
        Chooser("excess", LABELS, epochs=2)
    with pytest.raises(RecipeError, match="give reference_loss"):
        Chooser("excess", LABELS, epochs=2, reference="runs/other")


# --- What can go wrong ----------------------------------------------------------------------------------------------


IDS = torch.tensor([1, 2])
WRONG_CALLS: dict[str, tuple[Callable[[Chooser], object], type[FewerError], str]] = {
    "mean loss": (lambda c: c.observe(IDS, torch.tensor(1.0)), UsageError, 'reduction="none"'),
    "no logits": (lambda c: c.observe(IDS, torch.ones(2)), UsageError, "give logits_BC, or right_B"),
    "few logits": (lambda c: c.observe(IDS, torch.ones(2), torch.ones(2, 2)), UsageError, "3 classes"),
    "NaN": (lambda c: c.observe(IDS, torch.tensor([1.0, torch.nan]), said(IDS, 0)[1]), DivergedError, "sample 2"),
    "no position": (lambda c: c.observe(torch.tensor([1, 61]), *said(IDS, 0)), UsageError, "id 61 is no position"),
    "float ids": (lambda c: c.observe(IDS / 2, *said(IDS, 0)), UsageError, "whole numbers"),
    "twice": (lambda c: [c.observe(IDS, *said(IDS, 0)) for _ in "ab"], UsageError, "sample 1 comes up for the 2. time"),
    "backwards": (
        lambda c: [c.observe(IDS, *said(IDS, 0)), c.begin(1), c.begin(0)],
        UsageError,
        "epoch 0 cannot begin",
    ),
    "beyond": (lambda c: c.begin(EPOCHS), UsageError, "epoch 6 cannot begin"),
    "unobserved": (lambda c: c.begin(1), UsageError, "nothing was observed in epoch 0"),
    "scored": (lambda c: c.observe(IDS, *said(IDS, 0), kind="scored"), UsageError, "between chooser.ids_to_score"),
    "again": (lambda c: [step(c, torch.arange(SIZE), 0), [list(c.sampler) for _ in "ab"]], UsageError, "begin"),
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_wrong_calls_say_what_to_do(name: str) -> None:
    call, error, message = WRONG_CALLS[name]
    chooser = build({"method": "ies"})
    chooser.begin(0)
    with pytest.raises(error, match=message):
        call(chooser)


def test_calls_before_an_epoch_say_what_to_do() -> None:
    chooser = build({"method": "random", "share": 0.5})
    for call in (
        lambda: list(chooser.sampler),
        lambda: chooser.weights(IDS),
        lambda: chooser.observe(IDS, *said(IDS, 0)),
    ):
        with pytest.raises(UsageError, match="no epoch has begun"):
            call()
    chooser.begin(0)
    other = torch.tensor(sorted(set(range(SIZE)) - set(chooser.sampler))[:2])
    with pytest.raises(UsageError, match="is not among those of epoch 0"):
        chooser.weights(other)
    with pytest.raises(UsageError, match="lists it 0 times"):
        chooser.observe(other, *said(other, 0))


def test_methods_that_score_say_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"chooser\.ids_to_score\(epoch\)"):
        build({"method": "kakurenbo"}).begin(0)
    chooser = build({"method": "kakurenbo", "confidence": 0.0})
    epochs_of(chooser, last=2)
    assert len(chooser.ids_to_score(2)) > 1
    chooser.observe(chooser.ids_to_score(2)[1:], *said(chooser.ids_to_score(2)[1:], 2), kind="scored")
    with pytest.raises(UsageError, match=r"1 of .* were not scored"):
        chooser.begin(2)


def test_methods_that_choose_in_the_batch_say_what_to_do() -> None:
    chooser = build({"method": "dbpd", "score": "fresh"})
    chooser.begin(0)
    for call in (lambda: chooser.weights(IDS), lambda: chooser.observe(IDS, *said(IDS, 0))):
        with pytest.raises(UsageError, match=r'chooser\.keep.* or set score = "stale"'):
            call()


def test_a_batch_of_which_nothing_is_kept_is_not_booked_as_trained() -> None:
    """What scores in every batch and keeps nothing has cost its forwards, and no more."""
    chooser = build({"method": "dbpd", "score": "fresh", "threshold": 0.01, "guards": "off"})
    epochs_of(chooser, last=1)
    trained = chooser.spent()["effective_epochs"]
    chooser.begin(1)
    for batch in torch.tensor(list(chooser.sampler)).split(8):
        mask, _, samples = chooser.keep(batch, *said(batch, 1))
        assert samples == 0
        chooser.observe(batch[mask], *said(batch[mask], 1))
    look(chooser, 2)
    chooser.begin(2)
    assert chooser.spent()["effective_epochs"] == trained


def test_keep_refuses_samples_of_others() -> None:
    chooser = build({"method": "dbpd", "score": "fresh", "labels": [-1, *LABELS[1:].tolist()]})
    chooser.begin(0)
    with pytest.raises(UsageError, match=r"sample 0 is not among those of epoch 0 on this rank"):
        chooser.keep(torch.arange(8), *said(torch.arange(8), 0))


def test_an_epoch_of_nothing_is_an_error() -> None:
    chooser = build({"method": "dbpd", "threshold": 0.01, "guards": "off"})
    epochs_of(chooser, last=1)
    with pytest.raises(DataError, match="keeps none of 61 samples in epoch 1"):
        chooser.begin(1)
