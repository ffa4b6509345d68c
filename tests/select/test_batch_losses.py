"""Losses of batches credited to their samples: by hand, what they say of single samples, and the laws of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fewer import select
from fewer.core import rng
from fewer.core.errors import RecipeError
from fewer.core.observation import Column, Observed, Outcome
from fewer.core.population import Population
from fewer.core.types import At, Batch, Forward, Selection
from fewer.recipe.parse import parse_recipe
from fewer.select.base import unweighted
from fewer.select.batch_losses import NEWEST
from fewer.select.epoch import EpochSelection
from fewer.select.own_loop import Chooser
from fewer.sync.comm import SingleProcess
from fewer.tasks import TASKS, classify
from fewer.tasks.classify.task import Classify
from fewer.testing import Violation, check_selector, check_task, laws
from fewer.testing.harness import Content, one_thread, trained
from fewer.testing.ranks import on_ranks
from stories import build_on, population_of

DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "93%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 5, "batch_size": 32, "lr": 0.05, "seed": 0, "accumulate": 2},
    "select": {"method": "infobatch", "pruned": 0.6, "revision": "0ep", "score": "batch", "weights": "none"},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def selection_of(size: int) -> EpochSelection:
    selector = build_on({"method": "full"}, population_of([size]))
    return EpochSelection(selector, torch.arange(size), size, seed=1, averages_batches=True)


def epoch(selection: EpochSelection, number: int, sizes: list[int], loss_N: torch.Tensor, chosen: Selection) -> None:
    """One epoch in which each sample has its own loss, which nobody sees but as a mean of its batch."""
    order = selection.begin(chosen, At(number, 100, number / 100), sizes, sizes)
    for part in torch.arange(sum(sizes)).split(sizes):
        ids, copy = order.samples.ids_G[part], order.samples.copy_G[part]
        mean = loss_N[ids].mean().expand(len(ids))
        selection.observe(Observed.of(ids, mean, torch.exp(-mean), mean < 0.5), copy)
    selection.end(SingleProcess(), number)


def test_by_hand() -> None:
    """Two batches of two: in the first epoch all have the mean of their batch, then a fifth of the new one is added."""
    selection, loss_N = selection_of(4), torch.tensor([0.0, 1.0, 2.0, 7.0])
    found = []
    for number in range(2):
        epoch(selection, number, [2, 2], loss_N, unweighted(torch.arange(4)))
        found.append(selection.table.column("trained", "loss").tolist())
    orders = [rng.shuffled(torch.arange(4), 1, "order", number).tolist() for number in range(2)]
    for id in range(4):
        means = []
        for order in orders:
            place = order.index(id) // 2 * 2
            means.append(float(loss_N[order[place : place + 2]].mean()))
        assert found[0][id] == pytest.approx(means[0])
        assert found[1][id] == pytest.approx((1 - NEWEST) * means[0] + NEWEST * means[1])


def test_a_sample_that_is_there_twice_has_the_batch_of_its_last_copy() -> None:
    """Samples 0 and 1, of which 1 is listed three times, in batches of one: its loss is its own in each."""
    selection = selection_of(2)
    epoch(selection, 0, [1, 1, 1, 1], torch.tensor([3.0, 5.0]), unweighted(torch.tensor([0, 1, 1, 1])))
    assert selection.table.loss_N.tolist() == [3.0, 5.0]
    assert selection.table.visits_N.tolist() == [1, 3]


def test_the_average_says_which_samples_are_hard() -> None:
    """A tenth of the samples has a high loss: after 60 epochs in batches of 8 these are most of what ranks highest."""
    size, found = 80, []
    for seed in range(8):
        selection = selection_of(size)
        selection.seed = seed
        loss_N = rng.uniform(torch.arange(size), seed, "loss").float()
        loss_N[:8] += 8.0
        for number in range(60):
            epoch(selection, number, [8] * 10, loss_N, unweighted(torch.arange(size)))
        found.append(int((selection.table.loss_N.topk(8).indices < 8).sum()))
    assert sum(found) / len(found) >= 6, "a draw of batches may hide a few of them"


class OneLoss(Classify):  # type: ignore[misc]
    """Classification that knows but the mean loss of a batch."""

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        found = super().outcome(forward, batch, at, columns)
        return replace(
            found,
            loss_sum_B=found.loss_sum_B.mean().expand(len(batch)),
            score_B=found.score_B.mean().expand(len(batch)),
        )


@pytest.fixture
def one_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of classification are given a task that has one loss for a batch."""

    def build(params: Any, setting: Any) -> Classify:
        return OneLoss(setting.classes, images_C=setting.images_C)

    folder = SimpleNamespace(**{**vars(classify), "build": build, "PER_IMAGE_LOSSES": False})
    monkeypatch.setitem(TASKS._modules, "classify", folder)


@pytest.mark.usefixtures("one_loss")
def test_the_laws_of_a_run_hold() -> None:
    unstopped = trained(DIGITS)
    assert unstopped.run.ledger.full_epoch_equivalents < 4.5, "something is left out by these losses"
    laws.looking_changes_nothing(DIGITS, unstopped)
    laws.resumed_is_never_stopped(DIGITS, unstopped)
    laws.ledger_is_what_happened(DIGITS)
    laws.off_is_plain(DIGITS, [{"method": "dbpd", "threshold": 1.0, "score": "batch"}])


@pytest.mark.usefixtures("one_loss")
def test_ranks_credit_the_whole_batch() -> None:
    """Each of two ranks knows the mean of its part; the batch has the mean of both, as one process finds it."""
    content = {**DIGITS, "train": {**DIGITS["train"], "precision": "fp64"}}
    alone = _table_of(SingleProcess(), content)
    for theirs in on_ranks(2, _table_of, content):
        assert theirs == pytest.approx(alone, rel=1e-5)


def _table_of(comm: Any, content: Content) -> list[float]:
    return trained(content, comm).run.selection.table.loss_N.nan_to_num(-1.0).tolist()


@pytest.mark.usefixtures("one_loss")
def test_a_task_with_one_loss_a_batch_asks_for_it() -> None:
    with pytest.raises(RecipeError, match=r'gives one for a whole batch; set select\.score = "batch"'):
        parse_recipe({**DIGITS, "select": {"method": "infobatch"}})
    with pytest.raises(RecipeError, match=r'gives one for a whole batch; take select\.method = "random"'):
        parse_recipe({**DIGITS, "select": {"method": "rho"}})
    with pytest.raises(RecipeError, match=r'weighs losses of single images.*set select\.weights = "none"'):
        parse_recipe({**DIGITS, "select": {"method": "random", "weights": "inclusion"}})
    for fine in ({"method": "random"}, {"method": "full"}, DIGITS["select"]):
        parse_recipe({**DIGITS, "select": fine})


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"method": "auto", "score": "batch"}, "score"),
        ({"method": "ies", "score": "batch"}, "score"),
        ({"method": "dbpd", "score": "batch", "refresh_every": 3}, "refresh_every"),
        ({"method": "dbpd", "score": "batch", "scoring": "train"}, "scoring"),
        ({"method": "smrd", "score": "batch", "published": True}, "score"),
    ],
)
def test_keys_that_do_not_go_with_it(content: dict[str, Any], key: str) -> None:
    assert key in select.params(content["method"])(**content).conflicts(6)


@pytest.mark.parametrize("name", ["dbpd", "infobatch", "stratified", "ucb"])
def test_methods_keep_the_contract_with_it(name: str) -> None:
    def build(population: Population) -> Any:
        return build_on({"method": name, "score": "batch"}, population)

    check_selector(build)
    selector, asked = build(population_of([30, 20])), At(4, 6, 0.6)
    assert selector.expected(asked).scored == 0, "nobody looks at single samples"


def test_a_loop_of_ones_own_is_told_what_to_do() -> None:
    with pytest.raises(RecipeError, match="give observe the mean loss of the batch"):
        Chooser("dbpd", [0, 1] * 10, epochs=3, score="batch")


def test_the_kit_tries_such_a_task_without_looking_at_single_images() -> None:
    torch.manual_seed(0)
    batch = Batch(torch.arange(6), torch.randn(6, 3, 8, 8), torch.tensor([0, 1, 2, 3, 0, 1]))

    def build() -> tuple[Classify, nn.Module]:
        torch.manual_seed(0)
        return OneLoss(4), nn.Sequential(nn.Flatten(), nn.Linear(192, 4))

    check_task(build, batch, per_image=False)
    with pytest.raises(Violation, match="of a batch is that of each sample alone"):
        check_task(build, batch)
