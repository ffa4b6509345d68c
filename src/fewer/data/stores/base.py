"""The promise of a store: decoded squares on request, wherever pictures are kept.

B: samples of the batch. M: rows of a store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from fewer.core.types import Request
from fewer.data.decode.on_request import DamagedImage, Read, Squares


@dataclass(slots=True)
class Counts:
    """What was decoded so far, for the ledger.

    Attributes:
        decoded: Images decoded; in memory once for every side, else whenever one is asked for.
        decoded_pixels: Width x height as decoded from the files (a JPEG may be decoded at a fraction), before resizing.
    """

    decoded: int = 0
    decoded_pixels: int = 0

    def add(self, read: Read) -> None:
        """Counts what reading a batch took."""
        self.decoded += read.decoded
        self.decoded_pixels += read.pixels


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store gives for a request.

    Attributes:
        request: The request.
        squares: M squares, among them those that it asks for.
        row_B: Which of them, int64, on their device.
    """

    request: Request
    squares: Squares
    row_B: Tensor


class Store(Protocol):
    """Decoded squares on request."""

    counts: Counts

    @property
    def damaged(self) -> list[DamagedImage]:
        """Images that could not be decoded, as far as is known (policy "quarantine")."""
        ...

    def prepare(self, side_px: int) -> None:
        """Does now what else the first batch at a side would wait for."""
        ...

    def stream(self, requests: Iterator[Request]) -> Iterator[Loaded]:
        """What each request asks for, in order. Squares may be overwritten once the next are asked for."""
        ...
