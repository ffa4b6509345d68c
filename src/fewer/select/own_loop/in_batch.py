"""The choice within a batch: what all ranks' batches together keep, and this rank's part of it.

B: samples of this rank's batch. K: those that go through the model. G: samples of all ranks' batches. N: all ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from fewer.select.own_loop.observations import require_finite
from fewer.select.own_loop.ranks import all_gathered

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm, Selector
    from fewer.core.table import Table
    from fewer.core.types import At, KeepMask
    from fewer.select.own_loop.observation import Said

_LEAST = 2  # samples in a batch: no rank waits for one without any, and BatchNorm cannot normalise one alone
CALL_KEEP = (
    "call chooser.keep(id_B, loss_B, logits_BC) with a forward of each batch before the training forward of what it "
    'keeps, or set score = "stale", which needs no such forward'
)


class Kept(NamedTuple):
    """What of a batch is trained on.

    Attributes:
        mask_B: Which samples of this rank's batch go through the model.
        weight_K: Their loss weights: `(weight_K * loss_K).mean()`, averaged over ranks, is the mean over what is kept.
        samples: How many are kept of the global batch; where none is, every rank may skip the step.
    """

    mask_B: Tensor
    weight_K: Tensor
    samples: int


def select_together(
    selector: Selector, table: Table, said: Said, counts_B: Tensor, comm: Comm, at: At
) -> tuple[Tensor, KeepMask]:
    """What the selector keeps of all ranks' batches, whose scores the table learns; every rank must call it.

    `counts_B` says which samples are this rank's own, rather than padding. Gives the ids of the global batch and the
    choice among them.
    """
    # Ranks hold every W-th sample of the epoch's order: this puts their batches back into it.
    place_B = torch.arange(len(said.ids_B)) * comm.workers + comm.rank
    columns = (place_B, said.ids_B, said.loss_B, said.score_B, said.right_B)
    rows_B = torch.stack([column.double().cpu() for column in columns], dim=1)
    rows_G = all_gathered(comm, rows_B[counts_B])
    _, ids_G, loss_G, score_G, right_G = rows_G[rows_G[:, 0].argsort()].unbind(1)
    require_finite(loss_G, ids_G, at.epoch)
    told = ids_G.long(), loss_G, score_G, right_G.bool()
    keep = selector.keep(*told, at)
    table.observe("scored", *told, at.epoch)
    return ids_G.long(), keep


def local_part(ids_B: Tensor, counts_B: Tensor, ids_G: Tensor, keep: KeepMask, workers: int) -> tuple[Kept, Tensor]:
    """This rank's part of what is kept, filled up to two samples with others of weight 0.

    Gives that part, and which of the batch's samples are kept rather than filled in.
    """
    kept_B = torch.isin(ids_B, ids_G[keep.mask_G]) & counts_B
    lacking = max(0, min(_LEAST, len(ids_B)) - int(kept_B.sum()))
    mask_B = kept_B.index_fill(0, (~kept_B).nonzero().flatten()[:lacking], True)
    by_id = ids_G.argsort()
    weight_B = torch.zeros(len(ids_B), dtype=torch.float64)
    weight_B[kept_B] = keep.weight_G[by_id[torch.searchsorted(ids_G[by_id], ids_B[kept_B])]].double()
    samples = int(keep.mask_G.sum())
    scale = int(mask_B.sum()) * workers / max(1, samples)
    return Kept(mask_B, (weight_B[mask_B] * scale).float(), samples), kept_B
