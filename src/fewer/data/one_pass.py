"""One pass over images: a chunk at a time, decoded a few chunks ahead, in memory no longer than that.

Pixels, normalisation and layout are those of `ImageData`, which makes every chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from fewer.core.types import Batch, Request
from fewer.data.decode.depth import FULL
from fewer.data.decode.on_request import DamagedImage
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.settings import InputSettings, ReadSettings, ViewSettings
from fewer.machine.device import usable_cores


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some images, decoded.

    Attributes:
        split: Which images were asked for.
        batch: The sound ones among them, in the order of their ids; None if there is none.
        damaged: The others.
    """

    split: Split
    batch: Batch | None
    damaged: list[DamagedImage]


def evaluation_batch_size(side_px: int) -> int:
    """Images in one forward of an evaluation: 512 at 32 px, as many pixels at other sides, at least 16 images."""
    return max(16, round(512 * (32 / side_px) ** 2))


def chunks(split: Split, size: int) -> Iterator[Split]:
    """A split as splits of `size` images; the last may be smaller."""
    for ids_M in split.ids_M.split(size):
        yield Split(split.source, ids_M, split.label_N, split.classes)


def once(
    splits: Iterable[Split],
    side_px: int,
    inputs: InputSettings | None = None,
    depth: int = FULL,
    threads: int = 0,
    views: ViewSettings | None = None,
) -> Iterator[Chunk]:
    """Decodes splits one after another, several at a time; yields them in order.

    Args:
        splits: May be lazy and without end: no more than `threads` + 1 are taken ahead.
        side_px: Height and width of the images.
        inputs: How images become a model's inputs.
        depth: Bits that the values of 16-bit images have.
        threads: Decoding threads; 0 for one a core. A split is decoded by one thread.
        views: Whether pictures are cut to squares, as where this is left out, or shown whole.
    """
    threads = threads or usable_cores()
    ahead: deque[Future[tuple[ImageData, list[DamagedImage]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for split in splits:
                ahead.append(pool.submit(_decoded, split, side_px, inputs, depth, views))
                if len(ahead) > threads:
                    yield _chunk(*ahead.popleft().result(), side_px)
            while ahead:
                yield _chunk(*ahead.popleft().result(), side_px)
        finally:
            for future in ahead:
                future.cancel()


def evenly(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The same samples in batches of `size`, but for the last: as if those left out had never been there."""
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) < size:
            continue
        joined = Batch.joined(held)
        whole = len(joined) // size * size
        for start in range(0, whole, size):
            yield joined.take(slice(start, start + size))
        held = [joined.take(slice(whole, None))] if whole < len(joined) else []
    if held:
        yield Batch.joined(held)


def _decoded(
    split: Split, side_px: int, inputs: InputSettings | None, depth: int, views: ViewSettings | None
) -> tuple[ImageData, list[DamagedImage]]:
    data = ImageData(split, views, inputs, reads=ReadSettings(threads=1, damaged="quarantine", depth=depth))
    return data, data.prepare(side_px)


def _chunk(data: ImageData, damaged: list[DamagedImage], side_px: int) -> Chunk:
    sound = _without(data.split.ids_M, [image.id for image in damaged])
    request = Request.evaluation(side_px, 0, sound)
    return Chunk(data.split, next(iter(data.batches([request]))) if len(sound) else None, damaged)


def _without(ids_M: Tensor, others: list[int]) -> Tensor:
    return ids_M[~torch.isin(ids_M, torch.tensor(others, dtype=torch.int64))] if others else ids_M
