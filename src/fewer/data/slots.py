"""Memory that the trainer shares with its loader processes, in slots of equal size: one a batch on its way.

A slot holds the views of a batch and then the tensors of the request for them. The memory is anonymous: no file, no
semaphore, nothing that a process could leave behind.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fewer.core.types import Request
from fewer.data.decode.on_request import needed_bytes, shape
from fewer.data.parcel import Place, aligned, packed, tensor_bytes, unpacked

_SPARE_BYTES = 64  # kept for each sample's id, copy number and the like, so that a slot fits whichever a request has


@dataclass(frozen=True, slots=True)
class Slots:
    """Slots in anonymous shared memory."""

    buffer: mmap.mmap
    slot_bytes: int

    @classmethod
    def allocated(cls, count: int, slot_bytes: int) -> Slots:
        """New slots; `slot_bytes` is a multiple of a page.

        Raises:
            OSError, ValueError: There is no memory for them.
        """
        return cls(mmap.mmap(-1, count * slot_bytes), slot_bytes)

    def __len__(self) -> int:
        return len(self.buffer) // self.slot_bytes

    def put(self, slot: int, request: Request) -> Any:
        """Copies a request's tensors into a slot; returns the rest of it, which a pipe can carry."""
        return packed(request, self.buffer, slot * self.slot_bytes + aligned(needed_bytes(request)))

    def request(self, rest: Any) -> Request:
        """The request again, whole."""
        request = unpacked(rest, self.buffer)
        assert isinstance(request, Request)
        return request

    def views(self, slot: int, request: Request) -> Tensor:
        """Views, uint8 (B, side, side, 3)."""
        return Place(slot * self.slot_bytes, torch.uint8, shape(request)).of(self.buffer)


def bytes_for(request: Request) -> int:
    """The size of a slot that a request fits into, in whole pages."""
    needed = aligned(needed_bytes(request)) + max(tensor_bytes(request), _SPARE_BYTES * len(request.ids_B))
    return -(-needed // mmap.PAGESIZE) * mmap.PAGESIZE
