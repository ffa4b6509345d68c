"""Classes sampled evenly, or half-way so (Kang et al. 2020, arXiv 1910.09217, eq. 1): for long-tailed training sets.

An epoch is as long as plain training's, so it costs and saves nothing. Class c, with n_c images, gets a part of it in
proportion to n_c^(1 - power): 1 gives every class the same (class-balanced sampling), 0.5 the square root of its
images (Mahajan et al. 2018), 0 its own share. The parts are exact, by largest remainders, rather than drawn one by one,
and no image of a class is repeated before all have been taken: within a class all images get floor(part / n_c)
repetitions, and a random draw without replacement, a new one in each epoch, gets one more. Repetitions have views of
their own. Rare classes are overfitted sooner, and of frequent ones an epoch shows but a part. Neutral at power = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core import rng
from fewer.core.allocation import largest_remainders
from fewer.core.config import Share
from fewer.core.errors import RecipeError
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import MethodParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class Params(MethodParams):
    method: Literal["class_balanced"] = "class_balanced"
    power: Share = 1.0
    """1: every class equally often. 0.5: by the square root of its images. 0: as often as it occurs."""


@final
class ClassBalanced(BaseSelector):
    """Repeats or leaves out samples until every class has its part of the epoch."""

    def __init__(self, power: float, population: Population) -> None:
        self.power, self.population = power, population

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        lots_M = rng.shuffled(pool_ids, self.population.seed, "select.class_balanced", at.epoch)
        shuffled_M = pool_ids[lots_M]
        by_class_M = shuffled_M[self.population.group_N[shuffled_M].argsort(stable=True)]
        count_C = self._counts(pool_ids)
        part_C, images_C = self._parts(count_C), count_C.clamp(min=1)
        # The first so many of a class, in random order, get one repetition more than the others.
        until_C = count_C.cumsum(0) - count_C + part_C % images_C
        more_M = torch.arange(len(by_class_M)) < until_C.repeat_interleave(count_C)
        copies_M = (part_C // images_C).repeat_interleave(count_C) + more_M
        return unweighted(by_class_M.repeat_interleave(copies_M))

    def expected(self, at: At) -> Expectation:
        return Expectation(1.0, 1.0)

    def series(self, table: Table) -> dict[str, Tensor]:
        """`quota_per_class`: samples of each class in an epoch."""
        group_N = self.population.group_N
        return {"quota_per_class": self._parts(self._counts((group_N >= 0).nonzero().flatten())).double()}

    def _counts(self, ids_M: Tensor) -> Tensor:
        return self.population.group_N[ids_M].bincount(minlength=self.population.groups)

    def _parts(self, count_C: Tensor) -> Tensor:
        """Samples of each class in an epoch: as many in all as there are images."""
        total, present_C = int(count_C.sum()), count_C > 0
        weight_C = count_C.double().clamp(min=1) ** (1 - self.power) * present_C
        return largest_remainders(weight_C, total, total * present_C.long())


def build(params: Params, population: Population) -> ClassBalanced:
    """Builds the method.

    Raises:
        RecipeError: Images have no class of their own: they show boxes or masks.
    """
    if not population.groups_are_classes:
        raise RecipeError(
            'select.method = "class_balanced" needs one class an image, and these images show boxes or masks of many;'
            ' select.method = "repeat_factor" repeats images that show rare classes'
        )
    return ClassBalanced(params.power, population)
