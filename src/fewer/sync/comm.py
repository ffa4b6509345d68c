"""The exchange of tensors between processes: one process alone, or torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm


def of_rank_0(comm: Comm, number: int) -> int:
    """The number that process 0 has; what this sends is no part of training, and is not booked."""
    shared = torch.tensor([number])
    comm.broadcast([shared])
    comm.take_bytes_sent()
    return int(shared)


@final
class SingleProcess:
    """One process: nothing to exchange."""

    world_size, rank = 1, 0

    def all_reduce(self, tensor: Tensor) -> None:
        return

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        return

    def take_bytes_sent(self) -> int:
        return 0


@final
class TorchDistributed:
    """The default process group of torch.distributed, which the caller has initialised."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self._dist = dist
        self.world_size, self.rank = dist.get_world_size(), dist.get_rank()
        self._needs_gpu = dist.get_backend() == "nccl"  # it exchanges nothing that lies in the memory of the host
        self._bytes_sent = 0

    def all_reduce(self, tensor: Tensor) -> None:
        sent = self._placed(tensor)
        self._dist.all_reduce(sent)
        if sent is not tensor:
            tensor.copy_(sent)
        self._book(2 * tensor.numel() * tensor.element_size() / self.world_size)

    def gather(self, tensor: Tensor) -> Tensor:
        """Joins tensors of different lengths: padded to the longest, as all_gather wants equal shapes."""
        # all_gather does not know booleans on every backend.
        sent = self._placed(tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor)
        lengths = [torch.empty(1, dtype=torch.int64, device=sent.device) for _ in range(self.world_size)]
        self._dist.all_gather(lengths, torch.tensor([len(tensor)], device=sent.device))
        counts = [int(length) for length in lengths]
        padded = sent.new_zeros((max(counts), *sent.shape[1:]))
        padded[: len(sent)] = sent
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        self._dist.all_gather(parts, padded)
        self._book(padded.numel() * padded.element_size())
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).to(tensor)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            sent = self._placed(tensor)
            self._dist.broadcast(sent, src=0)
            if sent is not tensor:
                tensor.copy_(sent)
            self._book(tensor.numel() * tensor.element_size() / self.world_size)

    def take_bytes_sent(self) -> int:
        sent, self._bytes_sent = self._bytes_sent, 0
        return sent

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.cuda() if self._needs_gpu and not tensor.is_cuda else tensor  # untested: needs a GPU

    def _book(self, bytes_each: float) -> None:
        self._bytes_sent += round(bytes_each * (self.world_size - 1))
