"""Repeat-factor sampling (Gupta et al. 2019, LVIS, arXiv 1908.03195, section 4.1): rare classes are repeated.

A class that a share f of the training images shows has the factor max(1, sqrt(threshold / f)); an image is seen in an
epoch as often as the highest factor of the classes that it shows, rounded at random for each image and epoch, and once
where it shows none. In classification that is its class, in detection those of its boxes. Nothing is left out, so an
epoch becomes longer, and costs more, by what is repeated; repetitions have views of their own. `auto` is an equal
share, 1 / classes: for the 1,203 classes of LVIS that is about the published threshold, 0.001. In segmentation it is
those of its mask: all masks are read before the run, once, and what they show is remembered. Neutral at threshold = 0.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, final

from fewer.core import rng
from fewer.core.config import Share
from fewer.core.errors import RecipeError
from fewer.core.population import Population, ShownClasses
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import MethodParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_SIGMAS = 5  # of the epoch's length, within which the plan expects it


class Params(MethodParams):
    method: Literal["repeat_factor"] = "repeat_factor"
    threshold: Share | Literal["auto"] = "auto"
    """Share of the training images that show a class, below which it is repeated; `auto`: 1 / classes; 0: none is."""

    @property
    def needs_shown(self) -> bool:
        return True


@final
class RepeatFactor(BaseSelector):
    """Lists images that show rare classes several times."""

    def __init__(self, threshold: float, population: Population, shown: ShownClasses) -> None:
        self.threshold, self.population, self.shown = threshold, population, shown

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        factor_M = self._factor_N[pool_ids]
        lot_M = rng.uniform(pool_ids, self.population.seed, "select.repeat_factor", at.epoch)
        copies_M = factor_M.floor() + (lot_M < factor_M.frac())
        return unweighted(pool_ids.repeat_interleave(copies_M.long()))

    def expected(self, at: At) -> Expectation:
        factor_M = self._factor_N[self._ids]
        images, part_M = len(factor_M), factor_M.frac()
        low, mean, high = (float(each_M.sum()) / images for each_M in (factor_M.floor(), factor_M, factor_M.ceil()))
        spread = _SIGMAS * math.sqrt(float((part_M * (1 - part_M)).sum())) / images
        return Expectation(max(low, mean - spread), min(high, mean + spread))

    def series(self, table: Table) -> dict[str, Tensor]:
        """`repeats_per_class`: the factor of each class, 0 where no image shows it."""
        return {"repeats_per_class": self._factor_C}

    @cached_property
    def _ids(self) -> Tensor:
        return (self.population.group_N >= 0).nonzero().flatten()

    @cached_property
    def _factor_C(self) -> Tensor:
        """The repeat factor of every class, float64."""
        images_C = self.shown.class_P.bincount(minlength=self.shown.classes)
        share_C = images_C.double() / len(self._ids)
        return (self.threshold / share_C.clamp(min=1e-12)).sqrt().clamp(min=1) * (images_C > 0)

    @cached_property
    def _factor_N(self) -> Tensor:
        """That of every id, float64: the highest of the classes that it shows."""
        import torch

        factor_N = torch.ones(len(self.population.group_N), dtype=torch.float64)
        return factor_N.scatter_reduce(0, self.shown.id_P, self._factor_C[self.shown.class_P], "amax")


def build(params: Params, population: Population) -> RepeatFactor:
    shown = _shown(population)
    return RepeatFactor(1 / shown.classes if params.threshold == "auto" else params.threshold, population, shown)


def _shown(population: Population) -> ShownClasses:
    """The classes that images show: the groups, where these are classes.

    Raises:
        RecipeError: Nobody knows.
    """
    if population.shown is not None:
        return population.shown
    if population.groups_are_classes:
        ids = (population.group_N >= 0).nonzero().flatten()
        return ShownClasses(ids, population.group_N[ids], population.groups)
    raise RecipeError(
        'select.method = "repeat_factor" repeats images that show rare classes, and nobody has said which classes these'
        " images show; take another method"
    )
