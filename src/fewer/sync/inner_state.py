"""The state of the workers' own optimizers at a sync: averaged over workers, or started anew.

L: workers of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from fewer.core.protocols import Comm
from fewer.core.types import Worker
from fewer.sync.exchange import weighted_mean

if TYPE_CHECKING:
    from torch import Tensor, nn


def reset_state(optimizer: torch.optim.Optimizer) -> None:
    """Lets an optimizer begin anew, with moments of zero."""
    optimizer.state.clear()


def average_states(comm: Comm, workers: Sequence[Worker], weights_L: Sequence[float]) -> None:
    """Gives all workers the mean of their moments: of entries of a parameter's own shape; counts of steps stay.

    A parameter whose entries some worker has not yet, since it has skipped all of its steps, is left as it is.
    """
    entries_L = [_entries(worker) for worker in workers]
    mine = torch.tensor([[len(found) for found in entries] for entries in entries_L])
    common = comm.gather(mine)
    shared = (common == common[0]).all(0).tolist()
    flat_L = [_numbered(entries, shared) for entries in entries_L]
    if not flat_L[0]:
        return
    means = weighted_mean(comm, flat_L, weights_L)
    for flat in flat_L:
        for place, tensor in flat.items():
            tensor.copy_(means[place])


def _numbered(entries: Sequence[list[Tensor]], shared: Sequence[bool]) -> dict[int, Tensor]:
    found = [tensor for each, is_shared in zip(entries, shared, strict=True) if is_shared for tensor in each]
    return dict(enumerate(found))


def _entries(worker: Worker) -> list[list[Tensor]]:
    """An optimizer's floating-point tensors of each parameter's shape, by name."""
    optimizer = worker.optimizer
    return [_of(optimizer, parameter) for group in optimizer.param_groups for parameter in group["params"]]


def _of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[Tensor]:
    state = optimizer.state.get(parameter, {})
    tensors = (state[name] for name in sorted(state) if isinstance(state[name], torch.Tensor))
    return [tensor for tensor in tensors if tensor.shape == parameter.shape and tensor.is_floating_point()]
