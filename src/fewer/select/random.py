"""A fresh random share of the samples in each epoch (RS2, Okanovic et al., ICLR 2024: "Repeated random sampling").

Costs nothing to decide, saves 1 - share of everything: loading, decoding, forward, backward. With the learning rate
annealed over the shortened run it is the baseline that difficulty-based methods must beat. Neutral at share = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer import rng
from fewer.parts import At, Chosen, Expects, Population
from fewer.select.base import MethodParams, Selection, chosen

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.table import Table


class Params(MethodParams):
    method: Literal["random"] = "random"
    share: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.5
    """Share of the training images that each epoch trains on."""


@final
class Random(Selection):
    """Chooses round(share * n) of n samples, anew in each epoch."""

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.seed = share, seed

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        count = max(1, round(self.share * len(pool_ids)))
        shuffled = rng.shuffled(pool_ids, self.seed, "select.random", at.epoch)
        return chosen(pool_ids[shuffled[:count]])

    def expects(self, at: At) -> Expects:
        return Expects(self.share, self.share)


def build(params: Params, population: Population) -> Random:
    return Random(params.share, population.seed)
