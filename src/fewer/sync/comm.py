"""How processes exchange tensors: one process alone, or torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import Tensor


@final
class SingleProcess:
    """One process with one worker: nothing to exchange."""

    workers, rank = 1, 0

    def all_reduce(self, tensors_W: Sequence[Tensor]) -> None:
        return

    def gather(self, tensors_W: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors_W))

    def broadcast(self, tensors_W: Sequence[Tensor]) -> None:
        return

    def take_bytes_sent(self) -> int:
        return 0


@final
class TorchDistributed:
    """One worker in each process of the default process group, which the caller has initialised."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self._dist = dist
        self.workers, self.rank = dist.get_world_size(), dist.get_rank()
        self._bytes_sent = 0

    def all_reduce(self, tensors_W: Sequence[Tensor]) -> None:
        for tensor in tensors_W:
            self._dist.all_reduce(tensor)
            self._book(2 * tensor.numel() * tensor.element_size() / self.workers)

    def gather(self, tensors_W: Sequence[Tensor]) -> Tensor:
        """Joins tensors of different lengths: padded to the longest, as all_gather wants equal shapes."""
        (tensor,) = tensors_W
        lengths = [torch.empty(1, dtype=torch.int64, device=tensor.device) for _ in range(self.workers)]
        self._dist.all_gather(lengths, torch.tensor([len(tensor)], device=tensor.device))
        counts = [int(length) for length in lengths]
        # all_gather does not know booleans on every backend.
        sent = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
        padded = sent.new_zeros((max(counts), *sent.shape[1:]))
        padded[: len(sent)] = sent
        parts = [torch.empty_like(padded) for _ in range(self.workers)]
        self._dist.all_gather(parts, padded)
        self._book(padded.numel() * padded.element_size())
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).to(tensor.dtype)

    def broadcast(self, tensors_W: Sequence[Tensor]) -> None:
        for tensor in tensors_W:
            self._dist.broadcast(tensor, src=0)
            self._book(tensor.numel() * tensor.element_size() / self.workers)

    def take_bytes_sent(self) -> int:
        sent, self._bytes_sent = self._bytes_sent, 0
        return sent

    def _book(self, bytes_each: float) -> None:
        self._bytes_sent += round(bytes_each * (self.workers - 1))
