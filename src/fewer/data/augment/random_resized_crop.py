"""Random-resized-crop: a training view is a random part of the picture, resized to a square.

It needs the picture at its own size, so it is cut where pictures are read and not on the batch, as everything else is.

B: samples of the batch. K: random numbers of one sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fewer.data.augment.key import Key

Box = tuple[int, int, int, int]  # left, top, right, bottom

_TRIES = 10
_NUMBERS = 4  # for one try: area, shape, left, top


@dataclass(frozen=True, slots=True)
class RandomResizedCrop:
    """A part of random area and shape at a random place (Szegedy et al. 2015, section 6; torchvision's rules).

    Attributes:
        scale: Bounds of the area, as a share of the picture's; drawn evenly.
        ratio: Bounds of width / height; its logarithm is drawn evenly.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)

    def drawn(self, key: Key, strength: float) -> Boxes | None:
        """The boxes of a batch at a strength; None at strength 0, where the view is the centre square.

        In between, the smallest area and the bounds of the shape's logarithm approach those of the whole picture.
        """
        if strength == 0:
            return None
        number_BK = key.numbers(_TRIES * _NUMBERS, "rrc")
        low, high = self.scale
        shapes = tuple(math.log(bound) * strength for bound in self.ratio)
        return Boxes((high - (high - low) * strength, high), (shapes[0], shapes[1]), number_BK.tolist())


@dataclass(frozen=True, slots=True)
class Boxes:
    """Where the views of a batch lie, once the size of a picture is known. One sample's box depends on it alone."""

    scale: tuple[float, float]
    log_ratio: tuple[float, float]
    number_BK: Sequence[Sequence[float]]

    def box(self, index: int, width: int, height: int) -> Box:
        """Where the view of a sample lies in its picture of so many pixels."""
        numbers = self.number_BK[index]
        for first in range(0, len(numbers), _NUMBERS):
            area, shape, left, top = numbers[first : first + _NUMBERS]
            target = width * height * _between(self.scale, area)
            ratio = math.exp(_between(self.log_ratio, shape))
            wide, high = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < wide <= width and 0 < high <= height:
                x, y = int(left * (width - wide + 1)), int(top * (height - high + 1))
                return x, y, x + wide, y + high
        return self._largest(width, height)

    def _largest(self, width: int, height: int) -> Box:
        """The largest centred part of an allowed shape, where no try fitted."""
        narrowest, widest = map(math.exp, self.log_ratio)
        wide, high = width, height
        if width / height < narrowest:
            high = min(height, max(1, round(width / narrowest)))
        elif width / height > widest:
            wide = min(width, max(1, round(height * widest)))
        x, y = (width - wide) // 2, (height - high) // 2
        return x, y, x + wide, y + high


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share
