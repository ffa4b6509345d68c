"""RHO-LOSS: cases that were worked by hand, what is unknown, and what is saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fewer import select
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At
from fewer.testing import check_selector

EPOCHS = 8


def built(reference_loss: list[float] | None, size: int = 8, **keys: Any) -> Selector:
    losses = None if reference_loss is None else torch.tensor(reference_loss)
    population = Population(0, torch.arange(size) % 2, 2, losses)
    return select.build(select.params("rho")(guards="off", **keys), population, EPOCHS)


def at(epoch: int, share: float | None = None) -> At:
    return At(epoch, EPOCHS, epoch / EPOCHS, share)


def test_stale_losses_by_hand() -> None:
    """Samples 6 and 7 have the highest losses, and so have they under the reference: wrong labels. They stay out."""
    #                  0    1    2    3    4    5    6    7
    selector = built([0.1, 0.1, 0.5, 0.2, 0.3, 2.0, 4.0, 5.0], share=0.375)
    table, everything = Table(8), torch.arange(8)

    def next_epoch(epoch: int, losses: list[float]) -> list[int]:
        ids = selector.select(table, everything, at(epoch)).ids_M.sort().values
        loss = torch.tensor(losses)[ids]
        table.observe("trained", Observed.of(ids, loss, torch.exp(-loss), loss < 0.7), epoch)
        return ids.tolist()

    assert next_epoch(0, [2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 4.1, 5.2]) == list(range(8)), "nothing is known yet"
    # Excess: 1.9, 2.0, 1.7, 2.1, 2.1, 0.5, 0.1, 0.2: the best three of eight are 1, 3 and 4, which fall to nothing.
    assert next_epoch(1, [0.0, 0.1, 0.0, 0.2, 1.8, 0.0, 0.0, 0.0]) == [1, 3, 4]
    # Excess: 1.9, 0.0, 1.7, 0.0, 1.5, 0.5, 0.1, 0.2.
    assert next_epoch(2, [0.0, 0.1, 0.0, 0.2, 0.3, 0.0, 0.0, 0.0]) == [0, 2, 4]
    # Excess: -0.1, 0.0, -0.5, 0.0, 0.0, 0.5, 0.1, 0.2: only now do the doubtful ones come.
    assert next_epoch(3, [0.0] * 8) == [5, 6, 7]


def test_fresh_losses_by_hand() -> None:
    """A quarter of four batches' worth of candidates fills one batch."""
    selector = built([0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0], share=0.25, score="fresh")
    ids, loss = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4]), torch.tensor([3.5, 1.9, 0.6, 2.7, 2.0, 2.1, 1.8, 0.1])
    # Excess: 0.5, 0.9, 0.6, 0.7, -1.0, 0.1, 0.8, 0.1.
    keep = selector.keep(Observed.of(ids, loss, torch.exp(-loss), loss < 0.7), at(0))
    assert ids[keep.mask_G].tolist() == [1, 5]
    assert keep.weight_G.tolist() == [1.0] * 8
    assert selector.candidate_factor(at(0)) == 4.0
    assert selector.candidate_factor(at(0, share=0.5)) == 2.0
    assert selector.candidate_factor(at(0, share=0.01)) == 10.0, "what is scored at once must fit into memory"
    assert built(None, score="fresh", share=0.25, batches="shrink").candidate_factor(at(0)) == 1.0


def test_an_unknown_reference_is_the_mean_of_the_others_and_is_counted() -> None:
    """Loss 3 for all: excess 2, 1 (mean of 1, 2, 3), 1, 1 (mean), 0; as zeros, 1 and 3 would come first."""
    selector = built([1.0, torch.nan, 2.0, torch.inf, 3.0], size=5, share=0.2)
    table, ids = Table(5), torch.arange(5)
    table.observe(
        "trained", Observed.of(ids, torch.full((5,), 3.0), torch.full((5,), 0.05), torch.zeros(5, dtype=torch.bool)), 0
    )
    assert selector.select(table, ids, at(1)).ids_M.tolist() == [0]
    assert selector.counts()["reference_unknown"] == 2
    assert selector.series(table)["excess_loss_per_class"].tolist() == pytest.approx([(2 + 1 + 0) / 3, 1.0])


def test_a_loss_that_is_not_a_number_is_never_dropped() -> None:
    selector, table, ids = built([0.0] * 8, share=0.125), Table(8), torch.arange(8)
    loss = torch.tensor([1.0, 2.0, torch.nan, 3.0, torch.nan, 4.0, 5.0, 6.0])
    table.observe("trained", Observed.of(ids, loss, torch.exp(-loss), loss < 0), 0)
    assert selector.select(table, ids, at(1)).ids_M.sort().values.tolist() == [2, 4]


def test_state_holds_the_reference_and_is_checked() -> None:
    first, second = built([float(i) for i in range(8)]), built(None)
    second.load_state_dict(first.state_dict())
    table, ids = Table(8), torch.arange(8)
    table.observe(
        "trained", Observed.of(ids, torch.full((8,), 9.0), torch.zeros(8), torch.zeros(8, dtype=torch.bool)), 0
    )
    assert second.select(table, ids, at(1)).ids_M.sort().values.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="reference losses of 8 samples do not fit a set of 6"):
        built(None, size=6).load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"share": 1.0},
        {"score": "fresh", "share": 0.1},
        {"score": "fresh", "batches": "shrink"},
        {"refresh_every": 2},
    ],
    ids=str,
)
def test_every_variant_keeps_the_contract(keys: dict[str, Any]) -> None:
    def build(population: Population) -> Selector:
        losses = torch.rand(len(population.group_N), generator=torch.Generator().manual_seed(0))
        return select.build(select.params("rho")(**keys), replace(population, reference_loss_N=losses), 6)

    check_selector(build)
    check_selector(lambda population: select.build(select.params("rho")(**keys), population, 6))
