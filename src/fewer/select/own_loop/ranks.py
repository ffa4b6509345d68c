"""The processes that a foreign loop runs in: those of torch.distributed where it is initialised, else this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from fewer.core.errors import UsageError
from fewer.sync.comm import SingleProcess, TorchDistributed

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm


def current_comm() -> Comm:
    """How this process exchanges tensors with its peers, if it has any."""
    return (
        TorchDistributed()
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        else SingleProcess()
    )


def all_gathered(comm: Comm, rows: Tensor) -> Tensor:
    """All ranks' rows in the order of ranks, on the CPU."""
    if isinstance(comm, TorchDistributed) and dist.get_backend() == "nccl":  # untested: needs a GPU
        rows = rows.to(torch.device("cuda", torch.cuda.current_device()))
    return comm.gather([rows]).cpu()


def require_agreement(comm: Comm, told: int, epoch: int) -> None:
    """Compares what ranks were built with: one that chooses otherwise would wait forever, or train on other parts.

    Args:
        comm: How ranks exchange tensors.
        told: A 64-bit number that stands for all that this rank was built with.
        epoch: The epoch that this rank begins.

    Raises:
        UsageError: They differ.
    """
    if comm.workers == 1:
        return
    if len(all_gathered(comm, torch.tensor([[told >> 1, epoch]])).unique(dim=0)) > 1:
        raise UsageError(
            f"ranks disagree about epoch {epoch}: each builds its Chooser with the same method, keys, labels, epochs "
            "and seed, and begins the same epoch"
        )
