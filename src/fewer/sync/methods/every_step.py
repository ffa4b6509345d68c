"""Synchronous data parallelism: all workers add up their gradients at every step, and so stay equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from fewer.core.config import Section
from fewer.core.protocols import Comm
from fewer.core.types import Worker
from fewer.sync.base import BaseSync

if TYPE_CHECKING:
    from torch import Tensor, nn

EVERY_STEP = True


class Params(Section):
    pass


@final
class EveryStep(BaseSync):
    """Sums gradients over all workers in one flat all-reduce a step.

    Losses are divided by the global count before the backward, so the sum is the gradient of the global batch however
    unequal the workers' shares are. A worker whose share is empty has no gradient and adds zeros.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run, a multiple of the number of processes; as many as processes, if left out.
    """

    keeps_equal = True

    def denominator(self, of_all: float, of_worker: float) -> float:
        return of_all

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        self._sum(workers, [[p for p in worker.model.parameters() if p.requires_grad] for worker in workers])

    def sync_buffers(self, workers: Sequence[Worker]) -> None:
        self._sum(workers, [[] for _ in workers])

    def _sum(self, workers: Sequence[Worker], trained: Sequence[list[nn.Parameter]]) -> None:
        """Sums the gradients of some parameters and averages the buffers, in one all-reduce."""
        if self.workers == 1:
            return
        import torch

        from fewer.sync.batchnorm import are_shared

        # What is in eval mode, such as frozen norms, has not moved, and a mean of three equal numbers may round.
        statistics = [
            [
                buffer
                for module in worker.model.modules()
                if module.training and not are_shared(module)
                for buffer in module.buffers(recurse=False)
            ]
            for worker in workers
        ]
        flats = [_flat(*tensors) for tensors in zip(trained, statistics, strict=True)]
        flat = flats[0] if len(flats) == 1 else torch.stack(flats).sum(0)
        self.comm.all_reduce(flat)
        for parameters, buffers in zip(trained, statistics, strict=True):
            pieces = flat.split([tensor.numel() for tensor in (*parameters, *buffers)])
            for parameter, piece in zip(parameters, pieces, strict=False):
                parameter.grad = torch.empty_like(parameter).copy_(piece.view(parameter.shape))
            for buffer, piece in zip(buffers, pieces[len(parameters) :], strict=True):
                # Batch statistics are each worker's own; their running means are kept equal, so that any worker can be
                # evaluated, and one saved for all. Counts of batches differ where a worker's share was small.
                mean = piece.view(buffer.shape) / self.workers
                buffer.copy_(mean if buffer.is_floating_point() else mean.round())

    def require_equal(self, workers: Sequence[Worker], digests_L: Sequence[int]) -> None:
        if self.workers == 1:
            return
        import torch

        digests = self.comm.gather(torch.tensor(list(digests_L)))
        if len(digests.unique()) > 1:
            raise RuntimeError(f"workers hold different weights: {digests.tolist()}")


def _flat(parameters: Sequence[nn.Parameter], buffers: Sequence[Tensor]) -> Tensor:
    """A worker's gradients, zeros where it has none, and its buffers in one vector."""
    import torch

    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    tensors = [*gradients, *buffers]
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    return torch.cat([torch.zeros(0, dtype=dtype), *(tensor.flatten().to(dtype) for tensor in tensors)])


def build(params: Params, comm: Comm, workers: int | None) -> EveryStep:
    return EveryStep(comm, workers)
