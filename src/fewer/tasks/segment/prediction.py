"""The predictions of a segmentation model: a class for every pixel of a picture, at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from fewer.core.errors import printable
from fewer.core.types import Caption

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class MaskPrediction:
    """A class for every pixel of a picture.

    Attributes:
        id_hw: Class ids, uint8 (height, width).
    """

    id_hw: npt.NDArray[np.uint8]

    @cached_property
    def shares(self) -> list[tuple[int, float]]:
        """Classes with their shares of the pixels, the largest first; of equal ones the lower id."""
        pixels_C = np.bincount(self.id_hw.ravel())
        present = sorted(np.flatnonzero(pixels_C).tolist(), key=lambda index: -int(pixels_C[index]))
        return [(index, int(pixels_C[index]) / self.id_hw.size) for index in present]


@final
class MaskFormat:
    """Writes masks: their main classes as text, all shares as JSON, the ids themselves as an image.

    Args:
        classes: Names of the classes.
        most: Classes in a line of text and in a row of a table, at most.
    """

    def __init__(self, classes: Sequence[str], most: int) -> None:
        self.classes, self.most = classes, min(most, len(classes))
        places = ("", *(f"_{place}" for place in range(2, self.most + 1)))
        self.columns = tuple(f"{key}{place}" for place in places for key in ("class", "share"))

    def text(self, prediction: MaskPrediction) -> str:
        return "  ".join(f"{printable(self.classes[index])} {share:.1%}" for index, share in self._main(prediction))

    def json(self, prediction: MaskPrediction) -> dict[str, Any]:
        height, width = prediction.id_hw.shape
        found = [{"class": self.classes[index], "share": share} for index, share in prediction.shares]
        return {**found[0], "classes": found, "width": width, "height": height}

    def cells(self, prediction: MaskPrediction) -> list[str]:
        found = [cell for index, share in self._main(prediction) for cell in (self.classes[index], f"{share:.6f}")]
        return found + [""] * (len(self.columns) - len(found))

    def draw(self, thumbnail: Image, prediction: MaskPrediction) -> Caption:
        from fewer.core.drawing.masks import draw_mask, name_classes

        draw_mask(thumbnail, prediction.id_hw)
        name_classes(thumbnail, prediction.id_hw, self.classes)
        index, share = prediction.shares[0]
        return Caption(self.classes[index], index, share)

    def mask(self, prediction: MaskPrediction) -> bytes:
        from fewer.core.drawing.masks import mask_png

        return mask_png(prediction.id_hw)

    def _main(self, prediction: MaskPrediction) -> list[tuple[int, float]]:
        return prediction.shares[: self.most]
