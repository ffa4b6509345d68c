"""The exchange of tensors between processes: one process alone, or torch.distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

import torch

from fewer.sync.exchanges import Exchanges

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm
    from fewer.sync.peers import Peers


def of_rank_0(comm: Comm, number: int) -> int:
    """The number that process 0 has; what this sends is no part of training, and is not booked."""
    shared = torch.tensor([number])
    comm.broadcast([shared])
    comm.take_bytes_sent()
    return int(shared)


@contextmanager
def unbooked(comm: Comm) -> Iterator[None]:
    """Books nothing of what is sent inside: it is no part of training."""
    before = comm.take_bytes_sent()
    try:
        yield
    finally:
        comm.take_bytes_sent()
        comm.book(before)


class Booking:
    """Bytes that a process sends, those of the workers that it simulates as if each had a machine of its own.

    A ring sends 2 (K - 1) / K of a reduced tensor from each of K machines, and (K - 1) / K of a broadcast one. A
    gathered tensor goes to all K - 1 others.
    """

    world_size, machines, _bytes_sent = 1, 1, 0

    def take_bytes_sent(self) -> int:
        sent, self._bytes_sent = self._bytes_sent, 0
        return sent

    def book(self, bytes_sent: int) -> None:
        self._bytes_sent += bytes_sent

    def _book_shared(self, tensor: Tensor, times: int = 1) -> None:
        """Books a tensor that goes round a ring, from the machines that this process stands for."""
        each = times * tensor.numel() * tensor.element_size() / self.machines
        self.book(round(each * (self.machines - 1)) * (self.machines // self.world_size))

    def _book_gathered(self, tensor: Tensor) -> None:
        """Books a tensor that is made of a part of each machine that this process stands for."""
        self.book(tensor.numel() * tensor.element_size() * (self.machines - 1))

    def _book_exchanged(self, rows: Tensor) -> None:
        """Books a tensor of which each machine keeps its own part of what it holds."""
        self.book(round(rows.numel() * rows.element_size() * (self.machines - 1) / self.machines))


def current_comm() -> Comm:
    """How this process exchanges tensors with its peers: by torch.distributed where that is initialised, else not."""
    import torch.distributed as dist

    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return TorchDistributed() if several else SingleProcess()


@final
class SingleProcess(Booking):
    """One process: nothing to exchange; books what the workers that it simulates would."""

    rank = 0

    def all_reduce(self, tensor: Tensor) -> None:
        self._book_shared(tensor, 2)

    def gather(self, tensor: Tensor) -> Tensor:
        self._book_gathered(tensor)
        return tensor

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            self._book_shared(tensor)

    def exchange(self, rows: Tensor) -> Tensor:
        self._book_exchanged(rows)
        return rows


@final
class TorchDistributed(Booking):
    """The default process group of torch.distributed, which the caller has initialised.

    Args:
        peers: The watch over other ranks, which ends waiting for one that is lost; none if left out.
    """

    def __init__(self, peers: Peers | None = None) -> None:
        import torch.distributed as dist

        self._dist = Exchanges(peers)
        self.world_size, self.rank = dist.get_world_size(), dist.get_rank()
        self.machines = self.world_size
        self._needs_gpu = dist.get_backend() == "nccl"  # it exchanges nothing that lies in the memory of the host

    def all_reduce(self, tensor: Tensor) -> None:
        sent = self._placed(tensor)
        self._dist.all_reduce(sent)
        if sent is not tensor:
            tensor.copy_(sent)
        self._book_shared(tensor, 2)

    def start_all_reduce(self, tensor: Tensor) -> Callable[[], None]:
        """Begins to replace a tensor, which lies where the backend exchanges, by its sum over all processes."""
        wait = self._dist.begun("all_reduce", tensor)
        self._book_shared(tensor, 2)
        return wait

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
        self._book_gathered(padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).to(tensor)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            sent = self._placed(tensor)
            self._dist.broadcast(sent, src=0)
            if sent is not tensor:
                tensor.copy_(sent)
            self._book_shared(tensor)

    def exchange(self, rows: Tensor) -> Tensor:
        sent = self._placed(rows.contiguous())
        received = torch.empty_like(sent)
        self._dist.all_to_all_single(received, sent)
        self._book_exchanged(sent)
        return received.to(rows)

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.cuda() if self._needs_gpu and not tensor.is_cuda else tensor  # untested: needs a GPU
