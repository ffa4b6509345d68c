"""Small pictures with masks, as batches of evaluation and training views."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fewer.core.drawing.palette import VOID
from fewer.core.ragged import Ragged
from fewer.core.types import Batch

COLOURS = torch.tensor([[0.9, -0.8, -0.8], [-0.8, 0.9, -0.8], [-0.8, -0.8, 0.9]])


def batch_of(ids: list[Tensor], frame: tuple[int, int], noise: float = 0.2, seed: int = 0) -> Batch:
    """Evaluation views of pictures whose masks are given, at their own size: they fit into the frame.

    Each class has a colour of its own.
    """
    chance = torch.Generator().manual_seed(seed)
    images = torch.zeros(len(ids), 3, *frame)
    targets = []
    for image, own in zip(images, ids, strict=True):
        height, width = own.shape
        top, left = (frame[0] - height) // 2, (frame[1] - width) // 2
        part = (slice(top, top + height), slice(left, left + width))
        mask = torch.full(frame, VOID, dtype=torch.uint8)
        mask[part] = own
        shown = COLOURS[own.long().clamp(max=2)].permute(2, 0, 1)
        image[:, part[0], part[1]] = shown + noise * torch.randn(shown.shape, generator=chance)
        size, to_picture = torch.tensor([width, height]), torch.tensor([1.0, -left, 1.0, -top], dtype=torch.float64)
        targets.append({"mask": mask, "own": own, "size": size, "to_picture": to_picture})
    return Batch(torch.arange(len(ids)), images, Ragged(tuple(targets)))


def training(batch: Batch) -> Batch:
    """The same as training views."""
    assert isinstance(batch.targets, Ragged)
    return replace(batch, targets=torch.stack([each["mask"] for each in batch.targets]))  # type: ignore[call-overload]


def random_ids(seed: int, sizes: list[tuple[int, int]], classes: int = 3, block: int = 8) -> list[Tensor]:
    """Masks of blocks, one in nine of them void."""
    chance = torch.Generator().manual_seed(seed)
    found = []
    for height, width in sizes:
        small = torch.randint(0, 3 * classes, (-(-height // block), -(-width // block)), generator=chance)
        small = torch.where(small == 3 * classes - 1, VOID, small % classes)
        large = F.interpolate(small[None, None].float(), scale_factor=block, mode="nearest")[0, 0]
        found.append(large[:height, :width].to(torch.uint8))
    return found
