"""Every sample in every epoch: plain training, the baseline that every other method is compared with.

Saves nothing, costs nothing. Neutral by definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import MethodParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

EXAMPLES: list[Settings] = [{}]


class Params(MethodParams):
    method: Literal["full"] = "full"


@final
class Full(BaseSelector):
    """Chooses the whole pool."""

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        return unweighted(pool_ids)

    def expected(self, at: At) -> Expectation:
        return Expectation(1.0, 1.0)


def build(params: Params, population: Population) -> Full:
    return Full()
