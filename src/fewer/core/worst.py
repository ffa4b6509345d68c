"""The samples of highest loss, found together by all ranks. N: samples of this rank. K: columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.evaluation import WORST_SAMPLES

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm


def worst_rows(row_NK: Tensor, comm: Comm) -> Tensor:
    """The rows of highest loss over all ranks, the worst first, of equal ones the lower id: for any number of ranks.

    Args:
        row_NK: A row for each sample, float64: its id, its loss, and whatever else is to be known of it.
        comm: The exchange between processes; every process must call this.
    """
    return _worst(comm.gather(_worst(row_NK)))


def _worst(row_NK: Tensor) -> Tensor:
    by_id = row_NK[row_NK[:, 0].argsort()]
    return by_id[by_id[:, 1].argsort(descending=True, stable=True)[:WORST_SAMPLES]]
