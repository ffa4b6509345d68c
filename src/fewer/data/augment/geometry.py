"""Rotation, affine and perspective maps as 3x3 homographies, composed and then resampled once, bilinearly.

A map here tells where in the picture each pixel of the view lies, in pixels from the picture's middle, x to the right
and y down. So maps compose in the order of the operations: first that of the first operation, at the left.

A sample's matrix must not depend on its batch, not even in its last bit. Sines come from `math`, one at a time, since
vectorised ones differ from those of a vector's remainder; products of matrices are written out, since batched ones
may sum in another order. Each torch operation below is one exactly rounded one. `grid_sample` treats each sample by
itself. Bilinear sampling does not filter: where `scale` shrinks a picture a lot, fine patterns alias, as they do with
torchvision's transforms.

B: samples of the batch. H, W: rows and columns of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fewer.data.augment.planes import pixels, planes
from fewer.data.augment.shift import Padding, mean_colour

_FAR = 64.0  # half sides; points at the horizon of a perspective have no place, or one too far for float32


def identity(batch: int) -> Tensor:
    """Maps that change nothing, float64 (B, 3, 3)."""
    return torch.eye(3, dtype=torch.float64).repeat(batch, 1, 1)


def is_identity(map_B33: Tensor) -> Tensor:
    """Which maps change nothing, bool (B)."""
    return (map_B33 == torch.eye(3, dtype=torch.float64)).all(2).all(1)


def composed(first_B33: Tensor, second_B33: Tensor) -> Tensor:
    """The map of two operations, one after the other."""
    terms = [first_B33[:, :, i : i + 1] * second_B33[:, i : i + 1, :] for i in range(3)]
    return terms[0] + terms[1] + terms[2]


def shifted_and_flipped(batch: int, shift_B: tuple[Tensor, Tensor] | None, flip_B: Tensor | None) -> Tensor:
    """What `fewer.data.augment.shift.gathered` does, as a map."""
    map_B33 = identity(batch)
    if shift_B is not None:
        map_B33[:, 1, 2], map_B33[:, 0, 2] = (offset_B.to(map_B33) for offset_B in shift_B)
    if flip_B is not None:
        map_B33[:, 0, 0] = torch.where(flip_B.cpu(), -1.0, 1.0)
    return map_B33


def moved_by(offset_px: float) -> Tensor:
    """The map that adds an offset to both coordinates, float64 (3, 3)."""
    map_33 = torch.eye(3, dtype=torch.float64)
    map_33[:2, 2] = offset_px
    return map_33


def inverted(map_33: Tensor) -> Tensor:
    """The map back, by the adjugate, as a homography counts up to a factor; without rank where there is no way back."""
    rows = map_33.unbind(0)
    return torch.stack([torch.linalg.cross(rows[i - 2], rows[i - 1]) for i in range(3)], 1)


def affine(angle_deg_B: Tensor, right_px_B: Tensor, down_px_B: Tensor, scale_B: Tensor, shear_deg_B: Tensor) -> Tensor:
    """Pictures rotated anticlockwise, sheared along x and scaled about their middle, then moved right and down.

    The same composition as torchvision's `affine`, whose angle runs clockwise. All arguments and the result float64.
    """
    radian_B = angle_deg_B * (math.pi / 180)
    cos_B, sin_B = _each(math.cos, radian_B), _each(math.sin, radian_B)
    tan_B = _each(math.tan, shear_deg_B * (math.pi / 180))
    map_B33 = identity(len(angle_deg_B))
    map_B33[:, 0, 0] = (cos_B + sin_B * tan_B) / scale_B
    map_B33[:, 0, 1] = (cos_B * tan_B - sin_B) / scale_B
    map_B33[:, 1, 0] = sin_B / scale_B
    map_B33[:, 1, 1] = cos_B / scale_B
    for row in (0, 1):
        map_B33[:, row, 2] = -(map_B33[:, row, 0] * right_px_B + map_B33[:, row, 1] * down_px_B)
    return map_B33


def perspective(corner_B42: Tensor, side_px: int) -> Tensor:
    """Pictures whose corner pixels are drawn to given places.

    Heckbert, "Fundamentals of Texture Mapping and Image Warping" (1989), section 2.2.3: the map of the unit square to
    a quadrilateral in closed form; here it is inverted by its adjugate.

    Args:
        corner_B42: x and y of the top left, top right, bottom right and bottom left corner, in pixels from the middle.
        side_px: Side of the pictures.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner_B42[:, i].unbind(1) for i in range(4))
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    across = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (sum_x * (y3 - y2) - (x3 - x2) * sum_y) / across
    h = ((x1 - x2) * sum_y - sum_x * (y1 - y2)) / across
    a, b, d, e = x1 - x0 + g * x1, x3 - x0 + h * x3, y1 - y0 + g * y1, y3 - y0 + h * y3
    rows = [
        [e - y0 * h, x0 * h - b, b * y0 - x0 * e],
        [y0 * g - d, a - x0 * g, x0 * d - a * y0],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    to_unit_B33 = torch.stack([torch.stack(row, 1) for row in rows], 1)
    reach = (side_px - 1) / 2
    from_unit = torch.tensor([[2 * reach, 0, -reach], [0, 2 * reach, -reach], [0, 0, 1]], dtype=torch.float64)
    return composed(from_unit[None], to_unit_B33)


def resampled(images_BHWC: Tensor, map_B33: Tensor, padding: Padding) -> Tensor:
    """Views of pictures under maps, uint8 (B, H, W, 3).

    Args:
        images_BHWC: Pictures, uint8, square.
        map_B33: Where each view's pixels lie in its picture.
        padding: What lies outside the picture. Bilinear weights blend it into the outermost pixels.
    """
    planes_BCHW = planes(images_BHWC)
    fill_BC11 = None
    if padding == "mean":  # sampled as the difference from the mean, zero outside is the mean
        fill_BC11 = mean_colour(images_BHWC).permute(0, 3, 1, 2).float()
        planes_BCHW = planes_BCHW.sub_(fill_BC11)
    grid_BHW2 = _grid(map_B33, images_BHWC.shape[1], images_BHWC.device)
    mode = "reflection" if padding == "reflect" else "zeros"
    # align_corners: the grid's ends are pixel middles, about which "reflection" then reflects, as crops do
    planes_BCHW = F.grid_sample(planes_BCHW, grid_BHW2, "bilinear", mode, align_corners=True)
    if fill_BC11 is not None:
        planes_BCHW = planes_BCHW.add_(fill_BC11)
    return pixels(planes_BCHW.round_())


def places(map_B33: Tensor, side_px: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Where all pixels of the views lie: x and y in pixels from the picture's middle, float64 (B, H, W)."""
    ramp = torch.arange(side_px, dtype=torch.float64, device=device) - (side_px - 1) / 2
    entries = map_B33.to(device)[..., None, None]  # float64 keeps whole pixels whole to within 1e-4 of a level

    def row(i: int) -> Tensor:
        return entries[:, i, 0] * ramp[None, None, :] + (entries[:, i, 1] * ramp[None, :, None] + entries[:, i, 2])

    x_BHW, y_BHW = row(0), row(1)
    if bool((map_B33[:, 2] != torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)).any()):
        depth, far = row(2), _FAR * _reach(side_px)
        return (x_BHW / depth).nan_to_num_(far), (y_BHW / depth).nan_to_num_(far)
    return x_BHW, y_BHW


def _grid(map_B33: Tensor, side_px: int, device: torch.device) -> Tensor:
    """Places in the picture for all pixels of the views, in units of half a side, float32 (B, H, W, 2)."""
    reach = _reach(side_px)
    scaled = [(place / reach).clamp_(-_FAR, _FAR).float() for place in places(map_B33, side_px, device)]
    return torch.stack(scaled, 3)


def _reach(side_px: int) -> float:
    return max(side_px - 1, 1) / 2


def _each(function: Callable[[float], float], value_B: Tensor) -> Tensor:
    return torch.tensor([function(value) for value in value_B.tolist()], dtype=torch.float64)
