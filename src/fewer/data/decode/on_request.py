"""From a request to decoded views, straight from the source: what loader processes do, and keep nothing.

B: samples of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fewer.core.types import Request
from fewer.data.augment import Key
from fewer.data.augment.random_resized_crop import RandomResizedCrop, cut
from fewer.data.decode.decode import Damaged, Pixels, decode_counted, decode_whole
from fewer.data.sources import Source


@dataclass(slots=True)
class Counts:
    """What was done so far, for the ledger.

    Attributes:
        decoded: Images decoded; in memory once for every side, else whenever one is asked for.
        decoded_pixels: Width x height as decoded from the files (a JPEG may be decoded at a fraction), before resizing.
    """

    decoded: int = 0
    decoded_pixels: int = 0


@dataclass(frozen=True, slots=True)
class DamagedImage:
    """An image that could not be decoded, and why."""

    id: int
    name: str
    reason: str


@dataclass(slots=True)
class Read:
    """What reading a batch took: images and pixels decoded, and the images that could not be."""

    decoded: int = 0
    pixels: int = 0
    damaged: list[DamagedImage] = field(default_factory=list)


class Reader(Protocol):
    """Decoded pictures on request, wherever they are kept."""

    @property
    def damaged(self) -> list[DamagedImage]:
        """Images that could not be decoded, as far as is known (policy "quarantine")."""
        ...

    def prepare(self, side_px: int) -> None:
        """Does now what else the first batch at a side would wait for."""
        ...

    def stream(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Tensor, Tensor]]:
        """For each request, in order: itself, images uint8 (M, side, side, 3) and the rows that it asks for (B).

        The images may be overwritten once the next are asked for.
        """
        ...


@dataclass(frozen=True, slots=True)
class Views:
    """How the pictures of a source become views: a pure function of requests.

    Attributes:
        source: Where the images come from.
        crop: How training views are cut out of the whole picture; the centre square if None.
        seed: Seed of the crop.
    """

    source: Source
    crop: RandomResizedCrop | None = None
    seed: int = 0

    def read(self, request: Request, out_BHWC: Pixels, threads: Executor | None = None) -> Read:
        """Decodes the views of a request.

        Args:
            request: Which samples, as which view.
            out_BHWC: Where the views go, uint8; those of damaged images become zero.
            threads: Decodes in several threads.
        """
        ids = request.ids_B.tolist()
        boxes = None
        if self.crop is not None:
            key = Key(request.ids_B, self.seed, request.epoch, request.copy_B)
            boxes = self.crop.drawn(key, request.strength)

        def one(index: int) -> int | DamagedImage:
            id, side_px = ids[index], request.side_px
            try:
                raw = self.source.read(id)
                if self.crop is None:
                    out_BHWC[index], pixels = decode_counted(raw, side_px)
                else:
                    picture, pixels = decode_whole(raw)
                    box = boxes.box(index, picture.shape[1], picture.shape[0]) if boxes else None
                    out_BHWC[index] = cut(picture, box, side_px)
            except (Damaged, OSError) as error:
                out_BHWC[index] = 0
                return DamagedImage(id, self.source.names[id], str(error))
            return pixels

        done = Read()
        for result in (threads.map if threads else map)(one, range(len(ids))):
            if isinstance(result, DamagedImage):
                done.damaged.append(result)
            else:
                done.decoded += 1
                done.pixels += result
        return done

    def read_here(self, request: Request, threads: Executor | None = None) -> tuple[Tensor, Read]:
        """The views of a request in memory of their own, uint8 (B, side, side, 3)."""
        views_BHWC = torch.empty(*shape(request), dtype=torch.uint8)
        return views_BHWC, self.read(request, views_BHWC.numpy(), threads)


def shape(request: Request) -> tuple[int, int, int, int]:
    """Of the views of a request: (B, side, side, 3)."""
    return len(request.ids_B), request.side_px, request.side_px, 3


def needed_bytes(request: Request) -> int:
    """Of the views of a request."""
    return int(np.prod(shape(request)))
