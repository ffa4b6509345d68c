"""Parts of masks that a model speaks against: connected pixels that it is sure are of another class.

H, W: rows and columns of the frame. R: regions of one image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fewer.core.suspicion import Suspicion

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

SURE = 0.9  # probability from which a pixel of another class speaks against a mask
LEAST = 0.003  # share of the picture's valid pixels that a region has at least
_MOST = 5  # regions of one image
_KNOWN = 0.5  # share of the pixels of a class that a model finds which knows the class
_KIND = "part of another class"


class Suspected:
    """Suspicions on images that are looked at one after another: the largest regions of each mask that look wrong.

    Edges do not count: where a class begins by a pixel or two is a matter of taste, so a pixel counts only if all
    around it do. A region is of one annotated and of one predicted class. A model speaks against pixels of a class only
    if it finds most of these.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._suspicions: list[Suspicion] = []
        self._pixels_C, self._found_C = np.zeros(classes, np.int64), np.zeros(classes, np.int64)

    def add(self, id: int, p_CHW: Tensor, target: dict[str, Tensor]) -> None:
        """Looks at an image.

        Args:
            id: The image.
            p_CHW: Probabilities of the classes in the frame.
            target: `mask` in the frame, and `to_picture`, as evaluation views have them.
        """
        sure_HW, said_HW = (values.cpu().numpy() for values in p_CHW.max(0))
        mask_HW = target["mask"].cpu().numpy()
        valid_HW = mask_HW < len(p_CHW)
        self._pixels_C += np.bincount(mask_HW[valid_HW], minlength=len(p_CHW))
        self._found_C += np.bincount(mask_HW[valid_HW & (mask_HW == said_HW)], minlength=len(p_CHW))
        against_HW = valid_HW & (mask_HW != said_HW) & (sure_HW > SURE)
        pair_HW = mask_HW.astype(np.int64) * len(p_CHW) + said_HW
        valid = int(valid_HW.sum())
        for size, pair, part_HW in _regions(against_HW, pair_HW, LEAST * valid):
            annotated, predicted = divmod(pair, len(p_CHW))
            box = _box(part_HW, target["to_picture"].tolist())
            self._suspicions.append(Suspicion(id, _KIND, annotated, predicted, size / valid, box))

    def found(self) -> list[Suspicion]:
        """What is suspected of all images, as far as the model knows what is annotated."""
        known_C = self._found_C >= _KNOWN * self._pixels_C
        return [each for each in self._suspicions if each.annotated is not None and known_C[each.annotated]]


def _regions(
    against_HW: npt.NDArray[np.bool_], pair_HW: npt.NDArray[np.int64], least: float
) -> list[tuple[int, int, npt.NDArray[np.bool_]]]:
    """The largest connected regions of one pair of classes each, less their edges: size, pair, and pixels."""
    from scipy import ndimage

    inner_HW = ndimage.binary_erosion(against_HW, np.ones((3, 3)))
    found = []
    for pair in np.unique(pair_HW[inner_HW]).tolist():
        region_HW, count = ndimage.label(inner_HW & (pair_HW == pair), np.ones((3, 3)))
        size_R = np.bincount(region_HW.ravel(), minlength=count + 1)[1:]
        for region in np.flatnonzero(size_R >= least).tolist():
            found.append((int(size_R[region]), pair, region_HW == region + 1))
    return sorted(found, key=lambda each: (-each[0], each[1]))[:_MOST]


def _box(part_HW: npt.NDArray[np.bool_], to_picture: list[float]) -> tuple[float, float, float, float]:
    """What surrounds a region, in pixels of the picture."""
    rows, columns = np.nonzero(part_HW)
    top, bottom, left, right = rows.min() - 1, rows.max() + 2, columns.min() - 1, columns.max() + 2  # less the erosion
    scale_x, shift_x, scale_y, shift_y = to_picture
    corners = scale_x * left + shift_x, scale_y * top + shift_y, scale_x * right + shift_x, scale_y * bottom + shift_y
    return float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3])
