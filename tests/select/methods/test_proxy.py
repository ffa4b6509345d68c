"""The proxy filter: what is trained on follows from the choices, and what a proxy chooses from its losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer import select
from fewer.core.choices import Choices
from fewer.core.errors import RecipeError
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At
from fewer.select.methods.proxy import Filter
from fewer.select.own_loop.chooser import Chooser
from fewer.testing import check_selector

EPOCHS = 6
CHOSEN = Choices.of(torch.tensor([[1, 0, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1, 1, 1]]).bool())


def built(choices: Choices | None = CHOSEN, **keys: Any) -> Selector:
    population = Population(0, torch.arange(8) % 2, 2, choices=choices)
    return select.build(select.params("proxy")(guards="off", **keys), population, EPOCHS)


def at(epoch: int, share: float | None = None) -> At:
    return At(epoch, EPOCHS, epoch / EPOCHS, share)


def chosen(selector: Selector, epoch: int, share: float | None = None) -> list[int]:
    selection = selector.select(Table(8), torch.arange(8), at(epoch, share))
    assert selection.weight_M.tolist() == [1.0] * len(selection.ids_M)
    return selection.ids_M.sort().values.tolist()


def test_each_epoch_trains_on_what_was_chosen_for_it() -> None:
    selector = built()
    assert chosen(selector, 0) == [0, 2, 4, 6]
    assert chosen(selector, 1) == [4, 5, 6, 7]
    assert set(chosen(selector, 0, share=0.25)) < {0, 2, 4, 6}, "less than was chosen: a part of it"
    assert set(chosen(selector, 0, share=0.75)) > {0, 2, 4, 6}, "more than was chosen: all of it, and others"
    assert len(chosen(selector, 5)) == 4, "an epoch that the proxy has not seen has the same share, by lots"
    assert chosen(built(share=1.0), 1) == list(range(8))


def test_choices_go_with_the_state() -> None:
    other = built(choices=None)
    assert chosen(other, 0) != [0, 2, 4, 6] or chosen(other, 1) != [4, 5, 6, 7]
    other.load_state_dict(built().state_dict())
    assert (chosen(other, 0), chosen(other, 1)) == ([0, 2, 4, 6], [4, 5, 6, 7])


def test_a_filter_keeps_the_highest_losses_and_learns_from_one_batch_of_several() -> None:
    """Of ten images in batches of 4, 4 and 2: two, two and one are chosen, and the first and the third are learnt."""
    chooser = Filter(0.5, every=2, epochs=3, size=10, seed=0)
    ids = torch.tensor([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    loss = torch.tensor([0.1, 0.4, 0.2, 0.3, 5.0, 6.0, 8.0, 7.0, 0.6, 0.5])
    chooser.select(Table(10), ids.sort().values, at(1))
    assert chooser.candidate_factor(at(1)) == 2.0, "the proxy looks at as many as the net's batch is chosen from"
    learnt = []
    for part in torch.arange(10).split([4, 4, 2]):
        seen = Observed.of(ids[part], loss[part], torch.exp(-loss[part]), loss[part] < 0.7)
        learnt.append(ids[part][chooser.keep(seen, at(1)).mask_G].tolist())
    assert learnt == [[8, 6], [], [1]]
    everyone = torch.arange(10)
    assert everyone[chooser.choices.among(everyone, 1)].tolist() == [1, 2, 3, 6, 8]
    assert not chooser.choices.among(everyone, 0).any()


@pytest.mark.parametrize("keys", [{}, {"share": 0.25}, {"cost": 0.5}, {"share": 1.0}], ids=str)
def test_the_contract_holds(keys: dict[str, Any]) -> None:
    check_selector(lambda population: select.build(select.params("proxy")(**keys), population, EPOCHS))


def test_a_loop_of_ones_own_is_told_that_it_has_no_proxy() -> None:
    with pytest.raises(RecipeError, match="Chooser: proxy trains a small net first, which only"):
        Chooser("proxy", torch.arange(8) % 2, epochs=3)
