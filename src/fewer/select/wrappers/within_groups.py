"""Losses and scores compared within groups of samples, around any method: each group keeps its share of any choice.

In detection the loss of an image depends on how many objects it has, and background has next to none: a method that
takes the hardest images would take the crowded ones, and never background. So a method is shown other numbers: where
a sample's loss is at the quantile q of its group, it is shown the loss at the quantile q of all samples. The numbers
keep their scale, so that thresholds and means go on to mean what they did, and their order within each group; and at
any cut every group is cut at the same quantile.

N: all ids. M: samples asked for. K: samples whose numbers are known. G: samples of a global batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, final

import torch

from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.types import At, KeepMask, Selection, State
from fewer.select.wrappers.wrapper import SelectorWrapper

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_COMPARED = ("loss", "score")


@final
class Quantiles:
    """What values are at the quantiles of their groups, and of all samples.

    Args:
        value_K: Values that are known, finite.
        group_K: Their groups, from 0.
    """

    def __init__(self, value_K: Tensor, group_K: Tensor) -> None:
        self.sorted_K = value_K.double().sort().values
        # A place among all values and a group make one whole number, so that one sort serves all groups.
        self._stride = 2 * len(value_K) + 1
        self._key_K = self._keys(value_K.double(), group_K).sort().values

    def of_all(self, value_M: Tensor, group_M: Tensor) -> Tensor:
        """The values of all samples at the quantiles that some values have in their groups, float64.

        What is not finite stays, and so does what belongs to a group of which nothing is known.

        Args:
            value_M: Values, which need not be among the known ones.
            group_M: Their groups; below 0 where there is none.
        """
        value_M = value_M.double()
        start_M, end_M = (torch.searchsorted(self._key_K, (group_M + up) * self._stride) for up in (0, 1))
        size_M = end_M - start_M
        mapped_M = torch.isfinite(value_M) & (size_M > 0) & (group_M >= 0)
        if not mapped_M.any():
            return value_M
        key_M = self._keys(value_M.nan_to_num(), group_M)
        left_M, right_M = (torch.searchsorted(self._key_K, key_M, right=side) for side in (False, True))
        quantile_M = ((left_M + right_M).double() / 2 - start_M) / size_M.clamp(min=1)  # equal values share the middle
        place_M = (quantile_M * len(self.sorted_K) - 0.5).clamp(0, len(self.sorted_K) - 1)
        low_M = place_M.floor().long()
        high_M = (low_M + 1).clamp(max=len(self.sorted_K) - 1)
        between_M = torch.lerp(self.sorted_K[low_M], self.sorted_K[high_M], place_M - low_M)
        return torch.where(mapped_M, between_M, value_M)

    def _keys(self, value_M: Tensor, group_M: Tensor) -> Tensor:
        left_M, right_M = (torch.searchsorted(self.sorted_K, value_M, right=side) for side in (False, True))
        return group_M * self._stride + left_M + right_M


@final
class WithinGroups(SelectorWrapper):
    """A selector that is shown losses and scores as if every group had the distribution of all.

    Args:
        selector: The method.
        population: The groups of the training set.
    """

    def __init__(self, selector: Selector, population: Population) -> None:
        super().__init__(selector)
        self.group_N = population.group_N
        # What was known before the epoch, by which the samples of a batch are placed: a batch has too few of a group.
        self.known: dict[str, Tensor] = {}

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        return self.selector.ids_to_score(self._shown(table), at)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if self.selector.in_batch(at):
            self.known = {name: table.newest(name).clone() for name in _COMPARED}
        return self.selector.select(self._shown(table), pool_ids, at)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        group_G, columns = self.group_N[seen_G.ids_B], dict(seen_G.columns)
        for name in _COMPARED:
            values_G = seen_G.columns[name]
            known_N = self.known.get(name, torch.full((len(self.group_N),), torch.nan))
            quantiles = _quantiles(known_N, self.group_N) or _quantiles(values_G, group_G)
            if quantiles:
                columns[name] = quantiles.of_all(values_G, group_G).to(values_G.dtype)
        return self.selector.keep(Observed(seen_G.ids_B, columns), at)

    def series(self, table: Table) -> dict[str, Tensor]:
        return self.selector.series(self._shown(table))

    def _shown(self, table: Table) -> Table:
        for name in _COMPARED:
            if quantiles := _quantiles(table.newest(name), self.group_N):
                table = table.replaced(name, lambda value_N, of=quantiles: of.of_all(value_N, self.group_N).float())  # type: ignore[misc]
        return table

    def state_dict(self) -> State:
        return {"selector": self.selector.state_dict(), "known": dict(self.known)}

    def load_state_dict(self, state: State) -> None:
        self.selector.load_state_dict(state["selector"])
        for values in state["known"].values():
            if len(values) != len(self.group_N):
                raise ValueError(
                    f"select.rank_within: a state of {len(values)} samples does not fit a set of {len(self.group_N)}"
                )
        self.known = {name: values.clone() for name, values in state["known"].items()}


def within_groups(population: Population) -> Population:
    """The same training set, with reference losses as `WithinGroups` shows losses: a method takes their difference."""
    loss_N = population.reference_loss_N
    quantiles = None if loss_N is None else _quantiles(loss_N, population.group_N)
    if loss_N is None or quantiles is None:
        return population
    return replace(population, reference_loss_N=quantiles.of_all(loss_N, population.group_N).float())


def _quantiles(value_M: Tensor, group_M: Tensor) -> Quantiles | None:
    """The quantiles of the finite ones of some values; None where there are none."""
    known_M = torch.isfinite(value_M) & (group_M >= 0)
    return Quantiles(value_M[known_M], group_M[known_M]) if known_M.any() else None
