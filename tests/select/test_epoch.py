"""The selection of an epoch, and further columns of observations: in our loop and in a loop of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import pytest
import torch
from torch import Tensor

from fewer import Chooser
from fewer.core.errors import UsageError
from fewer.core.observation import Column, Observed
from fewer.core.table import Table
from fewer.core.types import At, Batch, Expectation, KeepMask, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.epoch import EpochSelection
from fewer.select.packer import Packed
from fewer.sync.comm import SingleProcess
from fewer.testing import check_selector
from fewer.testing.harness import Content, one_thread, session_of
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def margin(logits_BC: Tensor, batch: Batch) -> Tensor:
    """By how much the true class's probability exceeds the best other one's."""
    p_BC = logits_BC.float().softmax(1)
    true_B = p_BC.gather(1, batch.targets[:, None]).squeeze(1)
    return true_B - p_BC.scatter(1, batch.targets[:, None], -1.0).max(1).values


def probabilities(logits_BC: Tensor, batch: Batch) -> Tensor:
    return logits_BC.float().softmax(1)


@final
class SmallestMargins(BaseSelector):
    """Half of the samples, those of the smallest margins; all that it needs beyond scores is declared here."""

    columns = (Column("margin", margin), Column("p", probabilities, width=10))

    def __init__(self, in_batch: bool = False) -> None:
        self.chooses_in_batch = in_batch

    def in_batch(self, at: At) -> bool:
        return self.chooses_in_batch and at.epoch > 0

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if not at.epoch or self.chooses_in_batch:
            return unweighted(pool_ids)
        margin_M = table.newest("margin")[pool_ids].nan_to_num(-2.0).double()
        ids = pool_ids[torch.argsort(margin_M + pool_ids * 1e-12)]
        return unweighted(ids[: len(ids) // 2].sort().values)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        ranked = torch.argsort(seen_G.columns["margin"] + seen_G.ids_B * 1e-12)
        mask_G = torch.zeros(len(seen_G), dtype=torch.bool)
        mask_G[ranked[: max(1, len(seen_G) // 2)]] = True
        return KeepMask(mask_G, torch.ones(len(seen_G), dtype=torch.float64))

    def expected(self, at: At) -> Expectation:
        if not at.epoch:
            return Expectation(1.0, 1.0)
        # Halves of batches are rounded.
        return Expectation(0.3, 0.7, 1.0) if self.chooses_in_batch else Expectation(0.4, 0.5)


CONTENT: Content = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"epochs": 2, "batch_size": 24, "lr": 0.05, "precision": "fp64", "accumulate": 2},
    "stages": [{"epochs": 2, "side_px": 16}],
}


def run_with(selector: Any, comm: Any = None) -> Any:
    session = session_of(CONTENT, comm)
    run = session.run
    run.selection = EpochSelection(selector, run.selection.pool_ids, len(run.selection.table), run.seed)
    list(train(session.task, session.train_data, run))
    return run


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_method_may_ask_for_more_numbers_of_each_sample(in_batch: bool) -> None:
    check_selector(lambda population: SmallestMargins(in_batch))
    run = run_with(SmallestMargins(in_batch))
    table, ids = run.selection.table, run.selection.pool_ids
    trained = table.column("trained", "epoch")[ids] == 1
    assert 0.4 <= float(trained.double().mean()) <= 0.6
    p = table.newest("p")[ids]
    assert torch.allclose(p.sum(1), torch.ones(len(ids)), atol=1e-5)
    score, margins = table.score_N[ids], table.newest("margin")[ids]
    assert torch.equal(margins > 0, table.right_N[ids] & (margins != 0))
    assert bool((margins <= score + 1e-6).all())


def _visits(comm: Any, in_batch: bool) -> list[Any]:
    run = run_with(SmallestMargins(in_batch), comm)
    return [run.selection.table.visits_N.tolist(), run.selection.table.newest("margin").nan_to_num(-9).tolist()]


@pytest.mark.parametrize("in_batch", [False, True])
def test_further_columns_are_the_same_for_any_number_of_ranks(in_batch: bool) -> None:
    visits, margins = _visits(None, in_batch)
    for theirs in on_ranks(2, _visits, in_batch):
        assert theirs[0] == visits
        assert theirs[1] == pytest.approx(margins, abs=1e-6)


def test_a_loop_of_ones_own_gives_the_columns() -> None:
    chooser = Chooser(SmallestMargins(), torch.zeros(8, dtype=torch.int64), epochs=3)
    ids, loss, right = torch.arange(8), torch.ones(8), torch.ones(8, dtype=torch.bool)
    chooser.begin(0)
    with pytest.raises(UsageError, match='asks for "margin" of each sample, which is missing'):
        chooser.observe(ids, loss, right_B=right)
    with pytest.raises(UsageError, match=r'"p" of each sample, which has shape \(8,\)'):
        chooser.observe(ids, loss, right_B=right, columns={"margin": loss, "p": loss})
    columns = {"margin": torch.arange(8.0), "p": torch.full((8, 10), 0.1)}
    chooser.observe(ids, loss, right_B=right, columns=columns)
    state = chooser.state_dict()
    chooser.begin(1)
    assert sorted(chooser.sampler) == [0, 1, 2, 3]
    other = Chooser(SmallestMargins(), torch.zeros(8, dtype=torch.int64), epochs=3)
    other.load_state_dict(state)
    other.begin(1)
    assert list(other.sampler) == list(chooser.sampler)


def test_an_epoch_by_hand() -> None:
    """Six samples in batches of four; of the first candidate batch two are kept, of the second both."""
    selection = EpochSelection(SmallestMargins(), torch.arange(6), 6, seed=1)
    at = At(0, 2, 0.0)
    order = selection.begin(selection.select(at), at, sizes=[4, 2], step_sizes=[4, 2])
    assert sorted(order.samples.ids_G.tolist()) == list(range(6))
    first, second = order.samples.take(slice(0, 4)), order.samples.take(slice(4, 6))
    keep = KeepMask(torch.tensor([True, False, True, False]), torch.full((4,), 2.0, dtype=torch.float64))
    assert list(selection.pack(first, keep, is_last=False)) == []
    both = KeepMask(torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.float64))
    (batch,) = selection.pack(second, both, is_last=True)
    assert batch.ids_G.tolist() == [*first.ids_G[[0, 2]].tolist(), *second.ids_G.tolist()]
    assert batch.weight_G.tolist() == [2.0, 2.0, 1.0, 1.0]
    assert selection.packed == 1
    ids = batch.ids_G
    zeros = torch.zeros(4)
    columns = {"margin": zeros, "p": torch.zeros(4, 10)}
    selection.observe(Observed.of(ids, zeros + 0.5, zeros + 0.6, zeros > 1, **columns), batch.copy_G)
    assert selection.end(SingleProcess(), 0) == 4
    assert selection.order is None
    assert selection.table.visits_N.sum() == 4


def test_state_goes_on_in_the_middle_of_an_epoch() -> None:
    def begun() -> EpochSelection:
        return EpochSelection(SmallestMargins(), torch.arange(6), 6, seed=1)

    selection, at = begun(), At(0, 2, 0.0)
    order = selection.begin(selection.select(at), at, [3, 3], [3, 3])
    keep = KeepMask(torch.tensor([True, True, False]), torch.ones(3, dtype=torch.float64))
    assert list(selection.pack(order.samples.take(slice(3)), keep, is_last=False)) == []
    selection.observations.gather(SingleProcess())
    other = begun()
    other.load_state_dict(selection.state_dict())
    rest = order.samples.take(slice(3, 6))
    whole = KeepMask(torch.ones(3, dtype=torch.bool), torch.ones(3, dtype=torch.float64))
    ours, theirs = (list(each.pack(rest, whole, is_last=True)) for each in (selection, other))
    assert [batch.ids_G.tolist() for batch in ours] == [batch.ids_G.tolist() for batch in theirs]
    assert isinstance(ours[0], Packed)
