"""Regions drawn for the losses of two-stage detectors, as a function of an image's own number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fewer.core import rng

if TYPE_CHECKING:
    from torch import Tensor


def drawn(label_N: Tensor, most: int, share: float, draw: Tensor | int, purpose: str) -> tuple[Tensor, Tensor]:
    """Positions of regions of objects and of the background, at most so many in all (Ren et al. 2015, section 3.1.3).

    torchvision draws from torch's stream, so that what an image gets depends on those before it; here it depends on
    `draw` alone, and is the same on any number of ranks and in whatever order images come.

    Args:
        label_N: Above 0 for an object, 0 for background; others are left out.
        most: How many regions.
        share: Part of them that are of objects, at most.
        draw: The image's number, int64.
        purpose: What the regions are for.
    """
    number = torch.as_tensor(draw, device=label_N.device)
    key_N = rng.uniform(torch.arange(len(label_N), device=label_N.device), 0, "regions", purpose, copy_B=number)
    objects_P = _smallest(key_N, label_N > 0, int(most * share))
    return objects_P, _smallest(key_N, label_N == 0, most - len(objects_P))


def _smallest(key_N: Tensor, is_one_N: Tensor, most: int) -> Tensor:
    index_M = is_one_N.nonzero()[:, 0]
    if len(index_M) <= most:
        return index_M
    return index_M[key_N[index_M].topk(most, largest=False).indices]
