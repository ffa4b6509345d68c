"""SeTa (CVPR 2025): a window of loss groups that slides from easy to hard over a random part of the samples.

Each epoch draws 1 - pruned of the samples uniformly, cuts them into `groups` by one-dimensional k-means of their last
losses, and trains on round(window * groups) neighbouring groups; the window starts one group further in each epoch and
begins again with the easiest once it has reached the hardest. The last eighth of the run is on random draws alone.
Costs nothing to decide; how much is kept depends on how full the groups are. Neutral at pruned = 0 and window = 1.

Published settings: 5 to 10 groups, no weights, a tail of 12.5 %; `pruned` and `window` are ours, as the first epoch on
everything is, so that every loss is known. Under `cost` the random part is adapted, and the window holds as many
samples as the cost pays for, placed as far between the easiest and the hardest as its groups are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.core.clock import Duration
from fewer.core.config import Span
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import OpenShare, ScoredParams
from fewer.select.sampling import count_of, sample_uniformly

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_ROUNDS = 20  # of k-means; sorted values settle in a few

NEUTRAL = [{"pruned": 0.0, "window": 1.0}]


class Params(ScoredParams):
    reads_scored = False
    method: Literal["seta"] = "seta"
    pruned: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.1
    """Share of the samples that an epoch leaves out at random, before it looks at losses."""
    groups: Annotated[int, Field(ge=2, le=1000, strict=True)] = 10
    """Groups of similar losses."""
    window: OpenShare = 0.7
    """Share of the groups that an epoch trains on."""
    tail: Span = Duration(12.5, "%")
    """Final epochs on random draws of 1 - pruned of the samples."""


@final
class SeTa(BaseSelector):
    """Slides a window over groups of losses."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        loss_M = table.column("trained", "loss")[pool_ids]
        if at.epoch == 0 or not torch.isfinite(loss_M).any():
            return unweighted(pool_ids)
        drawn = sample_uniformly(pool_ids, count_of(self._drawn(at), len(pool_ids)), self.seed, "select.seta", at.epoch)
        if self._in_tail(at):
            return unweighted(drawn)
        drawn = drawn.sort().values
        loss_M = table.column("trained", "loss")[drawn]
        unknown = drawn[~torch.isfinite(loss_M)]  # never seen, or not a number: looked at
        drawn, loss_M = drawn[torch.isfinite(loss_M)], loss_M[torch.isfinite(loss_M)]
        rising = loss_M.argsort(stable=True)
        bounds = _group_bounds(loss_M[rising].double(), self.params.groups)
        groups = len(bounds) - 1
        width = max(1, round(self.params.window * groups))
        start = (at.epoch - 1) % (groups - width + 1)
        first, last = bounds[start], bounds[start + width]
        if at.share is not None:
            count = max(1, min(count_of(at.share, len(pool_ids)) - len(unknown), len(drawn)))
            # As far between the easiest and the hardest as the window is.
            first = round(start / max(1, groups - width) * (len(drawn) - count))
            last = first + count
        return unweighted(torch.cat([unknown, drawn[rising[first:last]]]))

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0:
            return Expectation(1.0, 1.0)
        if at.share is not None:
            return Expectation(at.share, at.share)
        kept = 1 - self.params.pruned
        return Expectation(kept if self._in_tail(at) or self.params.window == 1 else 0.0, kept)

    def _drawn(self, at: At) -> float:
        if at.share is None:
            return 1 - self.params.pruned
        return at.share if self._in_tail(at) else max(at.share, 1 - self.params.pruned)

    def _in_tail(self, at: At) -> bool:
        return at.epoch >= at.epochs - self.params.tail.whole_epochs(at.epochs)


def _group_bounds(sorted_M: Tensor, groups: int) -> list[int]:
    """Where the groups of one-dimensional k-means begin and end in sorted values; empty groups are left out.

    Lloyd's rounds from quantiles. In one dimension a group is a run of neighbours, and its mean comes from sums.
    """
    import torch

    size = len(sorted_M)
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), sorted_M.cumsum(0)])
    bounds = (torch.arange(groups + 1) * size).div(groups, rounding_mode="floor").unique()
    for _ in range(_ROUNDS):
        centre = (sums[bounds[1:]] - sums[bounds[:-1]]) / (bounds[1:] - bounds[:-1])
        inner = torch.searchsorted(sorted_M, (centre[1:] + centre[:-1]) / 2)
        new = torch.cat([bounds[:1], inner, bounds[-1:]]).unique()
        if torch.equal(new, bounds):
            break
        bounds = new
    found: list[int] = bounds.tolist()
    return found if len(found) > 1 else [0, size]


def build(params: Params, population: Population) -> SeTa:
    return SeTa(params, population.seed)
