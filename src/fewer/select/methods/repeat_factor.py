"""Repeat-factor sampling (Gupta et al. 2019, LVIS, arXiv 1908.03195, section 4.1): rare classes are repeated.

A sample of a class with the share f of the training images is seen r = max(1, sqrt(threshold / f)) times an epoch,
rounded at random for each sample and epoch. Nothing is left out, so an epoch becomes longer, and costs more, by what is
repeated; repetitions have views of their own. `auto` is an equal share, 1 / classes: for the 1,203 classes of LVIS that
is about the published threshold, 0.001. Neutral at threshold = 0.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, final

from fewer.core import rng
from fewer.core.config import Share
from fewer.core.types import At, Expectation, Population, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import MethodParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_SIGMAS = 5  # of the epoch's length, within which the plan expects it


class Params(MethodParams):
    method: Literal["repeat_factor"] = "repeat_factor"
    threshold: Share | Literal["auto"] = "auto"
    """Share of the training images below which a class is repeated; `auto`: 1 / classes; 0: none is."""


@final
class RepeatFactor(BaseSelector):
    """Lists samples of rare classes several times."""

    def __init__(self, threshold: float, population: Population) -> None:
        self.threshold, self.population = threshold, population

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        label_M = self.population.group_N[pool_ids]
        factor_C = self._factors(self._own_counts)
        lot_M = rng.uniform(pool_ids, self.population.seed, "select.repeat_factor", at.epoch)
        copies_M = factor_C.floor()[label_M] + (lot_M < factor_C.frac()[label_M])
        return unweighted(pool_ids.repeat_interleave(copies_M.long()))

    def expected(self, at: At) -> Expectation:
        factor_C, count_C = self._factors(self._own_counts), self._own_counts.double()
        images, part_C = float(count_C.sum()), factor_C.frac()
        bounds = (factor_C.floor(), factor_C, factor_C.ceil())
        low, mean, high = (float((each_C * count_C).sum()) / images for each_C in bounds)
        spread = _SIGMAS * math.sqrt(float((part_C * (1 - part_C) * count_C).sum())) / images
        return Expectation(max(low, mean - spread), min(high, mean + spread))

    def series(self, table: Table) -> dict[str, Tensor]:
        """`repeats_per_class`: how often a sample of each class is seen in an epoch, on average."""
        return {"repeats_per_class": self._factors(self._own_counts)}

    @cached_property
    def _own_counts(self) -> Tensor:
        group_N = self.population.group_N
        return self._counts(group_N[group_N >= 0])

    def _counts(self, label_M: Tensor) -> Tensor:
        return label_M.bincount(minlength=self.population.groups)

    def _factors(self, count_C: Tensor) -> Tensor:
        """The repeat factor of every class, float64; 0 where it has no images."""
        share_C = count_C.double() / count_C.sum()
        return (self.threshold / share_C.clamp(min=1e-12)).sqrt().clamp(min=1) * (count_C > 0)


def build(params: Params, population: Population) -> RepeatFactor:
    threshold = 1 / population.groups if params.threshold == "auto" else params.threshold
    return RepeatFactor(threshold, population)
