"""Anchors and default boxes of a frame, made when they are needed: a model then holds no tensors beside its state.

N: anchors of all levels, row by row, those of one place together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]  # height, width


@final
class Anchors(AnchorGenerator):  # type: ignore[misc]
    """torchvision's anchors: boxes of fixed sizes in pixels around the upper left corner of every cell.

    Args:
        sizes: Side of a square of the same area, in pixels, of each anchor of each level.
        ratios: Height / width of anchors, at every level.
    """

    def __init__(self, sizes: Sequence[Sequence[float]], ratios: Sequence[float]) -> None:
        super().__init__(tuple(map(tuple, sizes)), (tuple(ratios),) * len(sizes))
        self.cell_anchors: list[Tensor] = []

    def boxes(self, frame: Size, grids: Sequence[Size], like: Tensor) -> Tensor:
        """All anchors (N, 4) of a frame, whatever lies outside included.

        Args:
            frame: Height and width in pixels.
            grids: Height and width of each level's features.
            like: A tensor of the dtype and on the device wanted.
        """
        if len(grids) != len(self.sizes):
            raise ValueError(f"has {len(grids)} levels of features and anchor sizes for {len(self.sizes)}")
        found = []
        for grid, sizes, ratios in zip(grids, self.sizes, self.aspect_ratios, strict=True):
            cell_A4 = self.generate_anchors(sizes, ratios, dtype=like.dtype, device=like.device)
            y_H, x_W = (
                torch.arange(count, dtype=like.dtype, device=like.device) * (side // count)
                for count, side in zip(grid, frame, strict=True)
            )
            y_HW, x_HW = torch.meshgrid(y_H, x_W, indexing="ij")
            place_P4 = torch.stack([x_HW, y_HW, x_HW, y_HW], dim=-1).view(-1, 1, 4)
            found.append((place_P4 + cell_A4).view(-1, 4))
        return torch.cat(found)


@final
class DefaultBoxes(DefaultBoxGenerator):  # type: ignore[misc]
    """SSD's default boxes (Liu et al. 2016, section 2.2): shares of the frame around the middle of every cell.

    Args:
        ratios: Width / height of the boxes beside squares, of each level; their inverses belong to them.
        scales: Side of each level's boxes as a share of the frame, and one more for the squares between two levels.
    """

    def __init__(self, ratios: Sequence[Sequence[float]], scales: Sequence[float]) -> None:
        super().__init__([list(each) for each in ratios], scales=list(scales))
        self._wh_pairs: list[Tensor] = []

    def boxes(self, frame: Size, grids: Sequence[Size], like: Tensor) -> Tensor:
        """All default boxes (N, 4) in pixels of the frame; arguments as for `Anchors.boxes`."""
        if len(grids) != len(self.aspect_ratios):
            raise ValueError(f"has {len(grids)} levels of features and default boxes for {len(self.aspect_ratios)}")
        size_2 = torch.tensor(frame[::-1], dtype=like.dtype, device=like.device)
        found = []
        pairs = self._generate_wh_pairs(len(grids), dtype=like.dtype, device=like.device)
        for grid, pair_A2 in zip(grids, pairs, strict=True):
            y_H, x_W = ((torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n for n in grid)
            y_HW, x_HW = torch.meshgrid(y_H, x_W, indexing="ij")
            middle_P2 = torch.stack([x_HW, y_HW], dim=-1).view(-1, 1, 2)
            half_A2 = 0.5 * pair_A2.clamp(0, 1)
            found.append(torch.cat([(middle_P2 - half_A2) * size_2, (middle_P2 + half_A2) * size_2], -1).view(-1, 4))
        return torch.cat(found)
