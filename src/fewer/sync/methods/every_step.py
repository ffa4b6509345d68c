"""All workers add up their gradients at every step and so stay equal: synchronous data parallelism."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch

from fewer.core.protocols import Comm
from fewer.core.types import Forward, Stage, State, Worker
from fewer.training.compile import Compiler

if TYPE_CHECKING:
    from torch import Tensor, nn


@final
class EveryStep:
    """Sums gradients over all workers in one flat all-reduce a step.

    Losses are divided by the global count before the backward, so the sum is the gradient of the global batch however
    unequal the workers' shares are. A worker whose share is empty has no gradient and adds zeros.

    Args:
        comm: How processes exchange tensors.
        compiler: Compiles the forwards, where asked.
    """

    def __init__(self, comm: Comm, compiler: Compiler | None = None) -> None:
        self.comm, self.compiler = comm, compiler

    def forward(self, worker: Worker, stage: Stage, sizes: Sequence[int]) -> Forward:
        return self.compiler.forward(worker.model, stage, sizes) if self.compiler else worker.model

    def gradients(self, workers: Sequence[Worker]) -> None:
        self._agree(workers, [[p for p in worker.model.parameters() if p.requires_grad] for worker in workers])

    def statistics(self, workers: Sequence[Worker]) -> None:
        self._agree(workers, [[] for _ in workers])

    def _agree(self, workers: Sequence[Worker], trained: Sequence[list[nn.Parameter]]) -> None:
        """Sums the gradients of some parameters and averages the buffers, in one all-reduce."""
        if self.comm.workers == 1:
            return
        statistics = [list(worker.model.buffers()) for worker in workers]
        flats = [_flat(*tensors) for tensors in zip(trained, statistics, strict=True)]
        self.comm.all_reduce(flats)
        for parameters, buffers, flat in zip(trained, statistics, flats, strict=True):
            pieces = flat.split([tensor.numel() for tensor in (*parameters, *buffers)])
            for parameter, piece in zip(parameters, pieces, strict=False):
                parameter.grad = torch.empty_like(parameter).copy_(piece.view(parameter.shape))
            for buffer, piece in zip(buffers, pieces[len(parameters) :], strict=True):
                # Batch statistics are each worker's own; their running means are kept equal, so that any worker can be
                # evaluated, and one saved for all. Counts of batches differ where a worker's share was small.
                mean = piece.view(buffer.shape) / self.comm.workers
                buffer.copy_(mean if buffer.is_floating_point() else mean.round())

    def parameters(self, workers: Sequence[Worker], step: int) -> None:
        return

    def averaged(self, workers: Sequence[Worker]) -> nn.Module:
        return copy.deepcopy(workers[0].model)

    def state_dict(self) -> State:
        return self.compiler.state_dict() if self.compiler else {}

    def load_state_dict(self, state: State) -> None:
        if self.compiler:
            self.compiler.load_state_dict(state)


def _flat(parameters: Sequence[nn.Parameter], buffers: Sequence[Tensor]) -> Tensor:
    """A worker's gradients, zeros where it has none, and its buffers in one vector."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    tensors = [*gradients, *buffers]
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    return torch.cat([torch.zeros(0, dtype=dtype), *(tensor.flatten().to(dtype) for tensor in tensors)])
