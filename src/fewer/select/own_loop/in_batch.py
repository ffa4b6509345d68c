"""The choice within a batch: what all ranks' batches together keep, and this rank's part of it.

B: samples of this rank's batch. K: those that go through the model. G: samples of all ranks' batches. N: all ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from fewer.core.observation import Observed
from fewer.core.types import KeepMask
from fewer.select.own_loop.observation import require_finite

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm

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


def all_observed(seen_B: Observed, counts_B: Tensor, comm: Comm, epoch: int) -> Observed:
    """The observations of all ranks' batches, in the epoch's order; every rank must call it.

    Args:
        seen_B: What this rank's scoring forward has shown.
        counts_B: Which samples are this rank's own, rather than padding.
        comm: The exchange between ranks.
        epoch: For messages.

    Raises:
        DivergedError: A loss is not finite.
    """
    # Ranks hold every W-th sample of the epoch's order: this puts their batches back into it.
    place_B = torch.arange(len(seen_B)) * comm.world_size + comm.rank
    order_G = comm.gather(place_B[counts_B]).argsort()
    own_B = seen_B.take(counts_B)
    columns = {
        name: comm.gather((values.double() if values.is_floating_point() else values).cpu())[order_G]
        for name, values in own_B.columns.items()
    }
    seen_G = Observed(comm.gather(own_B.ids_B)[order_G], columns)
    require_finite(seen_G.loss_B, seen_G.ids_B, epoch)
    return seen_G


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
