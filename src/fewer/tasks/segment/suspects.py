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
_VOID = 255
_KIND = "part of another class"


def suspicions_of(id: int, p_CHW: Tensor, target: dict[str, Tensor]) -> list[Suspicion]:
    """The regions of an image's mask that look wrong, the largest first.

    Edges do not count: where a class begins by a pixel or two is a matter of taste, so a pixel counts only if all
    around it do. A region is of one annotated and of one predicted class.

    Args:
        id: The image.
        p_CHW: Probabilities of the classes in the frame.
        target: `mask` in the frame, and `to_picture`, as evaluation views have them.
    """
    from scipy import ndimage

    sure_HW, said_HW = (values.cpu().numpy() for values in p_CHW.max(0))
    mask_HW = target["mask"].cpu().numpy()
    valid = int((mask_HW != _VOID).sum())
    against_HW = (mask_HW != _VOID) & (mask_HW != said_HW) & (sure_HW > SURE)
    inner_HW = ndimage.binary_erosion(against_HW, np.ones((3, 3)))
    if not inner_HW.any():
        return []
    pair_HW = mask_HW.astype(np.int64) * len(p_CHW) + said_HW
    found = []
    for pair in np.unique(pair_HW[inner_HW]).tolist():
        region_HW, count = ndimage.label(inner_HW & (pair_HW == pair), np.ones((3, 3)))
        size_R = np.bincount(region_HW.ravel(), minlength=count + 1)[1:]
        for region in np.flatnonzero(size_R >= LEAST * valid).tolist():
            found.append((int(size_R[region]), pair, region_HW == region + 1))
    found.sort(key=lambda each: (-each[0], each[1]))
    return [
        Suspicion(
            id, _KIND, pair // len(p_CHW), pair % len(p_CHW), size / valid, _box(part_HW, target["to_picture"].tolist())
        )
        for size, pair, part_HW in found[:_MOST]
    ]


def _box(part_HW: npt.NDArray[np.bool_], to_picture: list[float]) -> tuple[float, float, float, float]:
    """What surrounds a region, in pixels of the picture."""
    rows, columns = np.nonzero(part_HW)
    top, bottom, left, right = rows.min() - 1, rows.max() + 2, columns.min() - 1, columns.max() + 2  # less the erosion
    scale_x, shift_x, scale_y, shift_y = to_picture
    corners = scale_x * left + shift_x, scale_y * top + shift_y, scale_x * right + shift_x, scale_y * bottom + shift_y
    return float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3])
