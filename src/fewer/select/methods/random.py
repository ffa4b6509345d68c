"""A fresh random share of the samples in each epoch (RS2, Okanovic et al., ICLR 2024: "Repeated random sampling").

Costs nothing to decide, saves 1 - share of everything: loading, decoding, forward, backward. With the learning rate
annealed over the shortened run it is the baseline that difficulty-based methods must beat. Neutral at share = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, drawn_uniformly
from fewer.select.method_params import ChoiceParams, OpenShare, WeightParams
from fewer.select.sampling import count_of

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"share": 1.0}]
EXAMPLES: list[Settings] = [{"share": 0.6}, {"share": 0.35, "revision": "1ep"}]


class Params(WeightParams, ChoiceParams):
    method: Literal["random"] = "random"
    share: OpenShare = 0.5
    """Share of the training images that each epoch trains on."""


@final
class Random(BaseSelector):
    """Chooses round(share * n) of n samples, others in each epoch."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        count = count_of(self._share(at), len(pool_ids))
        return drawn_uniformly(pool_ids, count, self.params, self.seed, "select.random", at.epoch)

    def expected(self, at: At) -> Expectation:
        return Expectation(self._share(at), self._share(at))

    def _share(self, at: At) -> float:
        return self.params.share if at.share is None else at.share


def build(params: Params, population: Population) -> Random:
    return Random(params, population.seed)
