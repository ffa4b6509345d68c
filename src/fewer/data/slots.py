"""Memory that the trainer shares with its loader processes, in slots of equal size: one a batch on its way.

A slot holds the squares of a batch and then the tensors of the request for them. The memory is anonymous: no file, no
semaphore, nothing that a process could leave behind.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import torch

from fewer.core.types import Request
from fewer.data.decode.on_request import Squares
from fewer.data.parcel import Place, packed, tensor_bytes, unpacked

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
        return packed(request, self.buffer, _places(request, slot * self.slot_bytes)[1].end)

    def request(self, rest: Any) -> Request:
        """The request again, whole."""
        request = unpacked(rest, self.buffer)
        assert isinstance(request, Request)
        return request

    def squares(self, slot: int, request: Request) -> Squares:
        """The squares of a request; they share the slot's memory."""
        images, crops = _places(request, slot * self.slot_bytes)
        return Squares(images.of(self.buffer), crops.of(self.buffer))


def bytes_for(request: Request) -> int:
    """The size of a slot that a request fits into, in whole pages."""
    needed = _places(request, 0)[1].end + max(tensor_bytes(request), _SPARE_BYTES * len(request.ids_B))
    return -(-needed // mmap.PAGESIZE) * mmap.PAGESIZE


def _places(request: Request, offset: int) -> tuple[Place, Place]:
    """Where the images of a request lie and where their crop boxes do."""
    images = Place(offset, torch.uint8, (len(request.ids_B), request.side_px, request.side_px, 3))
    return images, Place(images.end, torch.float32, (len(request.ids_B), 6))
