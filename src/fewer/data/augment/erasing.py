"""Random erasing: a random rectangle of some views is blanked.

Zhong, Zheng, Kang, Li & Yang, "Random Erasing Data Augmentation", AAAI 2020, arXiv 1708.04896, algorithm 1, by the
rules of torchvision and timm: area and the logarithm of height / width are drawn evenly, ten times at most until the
rectangle fits.

B: samples of the batch. H, W: rows and columns of the picture. K: random numbers of one sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewer.data.augment.cutout import rectangle
from fewer.data.augment.key import Key

_TRIES = 10
_NUMBERS = 4  # for one try: area, shape, top, left


@dataclass(frozen=True, slots=True)
class Erasing:
    """Which rectangles are blanked.

    Attributes:
        share: Share of the views that lose one.
        scale: Bounds of its area, as a share of the picture's.
        ratio: Bounds of its height / width.
    """

    share: float
    scale: tuple[float, float]
    ratio: tuple[float, float]

    def blank(self, key: Key, side_px: int, strength: float) -> Tensor | None:
        """Where views are blanked, bool (B, H, W), on the CPU; None where none is. Strength scales the area."""
        if not self.share * strength:
            return None
        erased = (key.uniform("erasing") < self.share).nonzero()[:, 0].tolist()
        if not erased:
            return None
        numbers = key.numbers(_TRIES * _NUMBERS, "erasing_place")[erased].tolist()
        places_B4 = torch.zeros(len(key), 4, dtype=torch.int64)
        places_B4[erased] = torch.tensor([self.place(each, side_px, strength) for each in numbers])
        return rectangle(side_px, *places_B4.unbind(1))

    def place(self, number_K: Sequence[float], side_px: int, strength: float = 1.0) -> tuple[int, int, int, int]:
        """Top, left, height and width of one view's rectangle; nothing where no try fits."""
        scale, log_ratio = [bound * strength for bound in self.scale], [math.log(bound) for bound in self.ratio]
        for first in range(0, len(number_K), _NUMBERS):
            area, shape, top, left = number_K[first : first + _NUMBERS]
            target = (scale[0] + (scale[1] - scale[0]) * area) * side_px**2
            ratio = math.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * shape)
            high, wide = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if high < side_px and wide < side_px:
                return int(top * (side_px - high + 1)), int(left * (side_px - wide + 1)), high, wide
        return 0, 0, 0, 0
