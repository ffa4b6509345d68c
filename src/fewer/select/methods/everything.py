"""Every sample in every epoch: plain training, the baseline that every other method is compared with.

Saves nothing, costs nothing. Neutral by definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.types import At, Chosen, Expects, Population
from fewer.select.base import MethodParams, Selection, chosen

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class Params(MethodParams):
    method: Literal["everything"] = "everything"


@final
class Everything(Selection):
    """Chooses the whole pool."""

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        return chosen(pool_ids)

    def expects(self, at: At) -> Expects:
        return Expects(1.0, 1.0)


def build(params: Params, population: Population) -> Everything:
    return Everything()
