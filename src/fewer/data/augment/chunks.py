"""Work on a batch in chunks that fit a processor's cache; samples are independent, so the result is the same."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_VALUES = 1 << 20  # of the pictures in one chunk; as float32 planes 4 MiB, which allocators hand out again at once


def chunked(work: Callable[..., Tensor], images_BHWC: Tensor, *values: Tensor) -> Tensor:
    """What `work(images_BHWC, *values)` gives, a chunk of samples at a time.

    Args:
        work: From pictures and values to pictures.
        images_BHWC: Pictures, at least one.
        values: More tensors with one entry a sample.
    """
    size = max(1, _VALUES // max(1, images_BHWC[0].numel()))
    if len(images_BHWC) <= size:
        return work(images_BHWC, *values)
    parts = [each.split(size) for each in (images_BHWC, *values)]
    return torch.cat([work(*part) for part in zip(*parts, strict=True)])
