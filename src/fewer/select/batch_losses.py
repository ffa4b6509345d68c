"""Losses of batches credited to their samples, for tasks that give no loss of each sample.

The mean loss of a batch says little of one of its samples. But a sample is shuffled into another batch in each epoch,
and in the moving average of their means the others even out, while its own part stays (BLS, CVPR 2026,
arXiv 2604.04681).

G: samples of an epoch in the order of training. R: observed rows. B: batches of the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from fewer.core.observation import Observed

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table
    from fewer.select.packer import Packed

NEWEST = 0.2  # weight of the newest batch in the moving average: about ten batches count
_AVERAGED = ("loss", "score")


def credited(seen_R: Observed, copy_R: Tensor, samples: Packed, sizes: Sequence[int], table: Table) -> Observed:
    """The observations of an epoch's training, with loss and score of each sample averaged over its batches.

    Args:
        seen_R: Observations, of all processes.
        copy_R: Which repetition of its sample each is.
        samples: The epoch's samples in the order of training.
        sizes: Samples in each batch.
        table: The averages so far; what was never trained on starts with its first batch.

    Returns:
        The same rows in their order, loss and score float64.
    """
    batch_R = _batches(seen_R.ids_B, copy_R, samples, sizes)
    rows_B = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, batch_R, torch.ones(len(batch_R)).double())
    columns = dict(seen_R.columns)
    for name in _AVERAGED:
        sum_B = torch.zeros_like(rows_B).index_add_(0, batch_R, columns[name].double())
        mean_R = (sum_B / rows_B.clamp(min=1))[batch_R]
        old_R = table.column("trained", name)[seen_R.ids_B].double()
        columns[name] = torch.where(torch.isfinite(old_R), (1 - NEWEST) * old_R + NEWEST * mean_R, mean_R)
    return Observed(seen_R.ids_B, columns)


def _batches(ids_R: Tensor, copy_R: Tensor, samples: Packed, sizes: Sequence[int]) -> Tensor:
    """The number of the batch that each row was in."""
    stride = int(samples.copy_G.max()) + 1 if len(samples) else 1
    key_G = samples.ids_G * stride + samples.copy_G
    batch_G = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    sorted_G, order_G = key_G.sort()
    return batch_G[order_G[torch.searchsorted(sorted_G, ids_R * stride + copy_R)]]
