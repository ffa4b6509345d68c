"""The agreement of the processes that a foreign loop runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fewer.core.errors import UsageError
from fewer.sync.comm import current_comm as current_comm

if TYPE_CHECKING:
    from fewer.core.protocols import Comm


def require_agreement(comm: Comm, identity: int, epoch: int) -> None:
    """Compares what ranks were built with: one that chooses otherwise would wait forever, or train on other parts.

    Args:
        comm: How ranks exchange tensors.
        identity: A 64-bit number that stands for all that this rank was built with.
        epoch: The epoch that this rank begins.

    Raises:
        UsageError: They differ.
    """
    if comm.world_size == 1:
        return
    if len(comm.gather(torch.tensor([[identity >> 1, epoch]])).unique(dim=0)) > 1:
        raise UsageError(
            f"ranks disagree about epoch {epoch}: each builds its Chooser with the same method, keys, labels, epochs "
            "and seed, and begins the same epoch"
        )
