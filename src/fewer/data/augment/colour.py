"""Operations on colours, with a factor of its own for each sample; they agree with torchvision's on uint8 pictures.

Levels are kept as whole numbers in float32: every operation floors its result, as torchvision's does by casting. To
be the same for a sample in any batch, each line is one exactly rounded operation (a fused multiply-add may or may not
be used, depending on where in a vector a number lies), and sums are sums of whole numbers that float32 holds exactly.

B: samples of the batch. C: the three channels. H, W: rows and columns. Factors are float64 (B) on any device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fewer.data.augment.planes import pixels, planes

Jitter = Literal["brightness", "contrast", "saturation", "hue"]
Operation = Callable[[Tensor, Tensor], Tensor]


def applied(operation: Operation, images_BHWC: Tensor, factor_B: Tensor) -> Tensor:
    """Pictures after one operation, uint8 (B, H, W, 3)."""
    return pixels(operation(planes(images_BHWC), factor_B))


def brightness(planes_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """All levels times the factor."""
    return _levels(planes_BCHW * _column(factor_B, planes_BCHW))


def contrast(planes_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """Away from the mean grey level of the picture, or towards it."""
    grey_B1HW = _grey(planes_BCHW)
    mean_B111 = grey_B1HW.sum((1, 2, 3), keepdim=True, dtype=torch.float64) / max(grey_B1HW[:1].numel(), 1)
    return _blend(planes_BCHW, mean_B111.float(), factor_B)


def saturation(planes_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """Away from each pixel's grey level, or towards it."""
    return _blend(planes_BCHW, _grey(planes_BCHW), factor_B)


def hue(planes_BCHW: Tensor, turn_B: Tensor) -> Tensor:
    """Hues turned by a share of the colour circle, in [-0.5, 0.5]; value and saturation of HSV stay."""
    red, green, blue = planes_BCHW.unbind(1)
    low, high = torch.aminmax(planes_BCHW, dim=1)
    chroma = high - low
    span = chroma.clamp(min=1)  # a grey pixel has no hue, and whichever is taken, it stays as it is
    sector = torch.where(green == high, (blue - red) / span + 2, (red - green) / span + 4)
    sector = torch.where(red == high, (green - blue) / span, sector)
    sector += _column(turn_B * 6, planes_BCHW)[:, 0]
    turned = torch.empty_like(planes_BCHW)
    for channel, offset in enumerate((5, 3, 1)):
        place = (sector + offset).div_(6)
        place = place.sub_(place.floor()).mul_(6)  # in [0, 6): remainders, too, are not the same in vectors
        fall = torch.minimum(place, 4 - place).clamp_(0, 1).mul_(chroma)
        torch.sub(high, fall, out=turned[:, channel])
    return _levels(turned.mul_(255.999 / 255))  # torchvision's cast from [0, 1] to levels


def sharpness(planes_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """Away from the picture smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13, or towards it; the rim stays."""
    height, width = planes_BCHW.shape[2:]
    if min(height, width) <= 2:
        return planes_BCHW
    middle = planes_BCHW[:, :, 1:-1, 1:-1]
    lines = planes_BCHW[:, :, :-2] + planes_BCHW[:, :, 1:-1] + planes_BCHW[:, :, 2:]
    smooth = (lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]).add_(middle * 4).div_(13).round_()
    step = (smooth - middle).mul_(_column(1 - factor_B, planes_BCHW))
    sharp = planes_BCHW.clone()
    sharp[:, :, 1:-1, 1:-1] = _levels(middle + step)
    return sharp


def posterize(planes_BCHW: Tensor, bits_B: Tensor) -> Tensor:
    """Only the highest bits of each level are kept."""
    step_B111 = _column(2.0 ** (8 - bits_B), planes_BCHW)
    return (planes_BCHW / step_B111).floor_().mul_(step_B111)


def solarize(planes_BCHW: Tensor, threshold_B: Tensor) -> Tensor:
    """Levels from the threshold on are inverted."""
    return torch.where(planes_BCHW >= _column(threshold_B, planes_BCHW), 255 - planes_BCHW, planes_BCHW)


def autocontrast(planes_BCHW: Tensor, _: Tensor) -> Tensor:
    """Each channel stretched to all levels."""
    low, high = planes_BCHW.amin((2, 3), keepdim=True), planes_BCHW.amax((2, 3), keepdim=True)
    stretched = (planes_BCHW - low).div_(((high - low) * (1 / 255)).clamp_(min=1e-6))
    return torch.where(high == low, planes_BCHW, _levels(stretched))


def equalize(planes_BCHW: Tensor, _: Tensor) -> Tensor:
    """Each channel's histogram flattened, by Pillow's rule."""
    place = planes_BCHW.flatten(2).long()
    count = torch.zeros((*place.shape[:2], 256), dtype=torch.int32, device=place.device)
    count.scatter_add_(2, place, torch.ones_like(place, dtype=torch.int32))
    below = count.cumsum(2)
    rest = below[..., -1:] - count.gather(2, planes_BCHW.flatten(2).amax(2, keepdim=True).long())
    step = rest.div(255, rounding_mode="floor")
    table = (below + step // 2).div(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    table = F.pad(table[..., :-1], (1, 0)).float()
    flat = table.gather(2, place).view_as(planes_BCHW)
    return torch.where(step[..., None] == 0, planes_BCHW, flat)


JITTER: dict[Jitter, Operation] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}


def jittered(names: tuple[Jitter, ...], images_BHWC: Tensor, factor_BK: Tensor, order_BK: Tensor) -> Tensor:
    """Pictures after each of K operations, in an order of its own for each sample.

    Args:
        names: The K operations.
        images_BHWC: Pictures, uint8.
        factor_BK: Their factors, on the CPU.
        order_BK: For each sample which operation comes first, second, ..., on the CPU.
    """
    found = planes(images_BHWC)
    for place in range(len(names)):
        for number, name in enumerate(names):
            chosen = (order_BK[:, place] == number).nonzero()[:, 0]
            if len(chosen) == len(found):
                found = JITTER[name](found, factor_BK[:, number])
            elif len(chosen):
                rows = chosen.to(found.device)
                found.index_copy_(0, rows, JITTER[name](found.index_select(0, rows), factor_BK[chosen, number]))
    return pixels(found)


def _grey(planes_BCHW: Tensor) -> Tensor:
    """Grey level, rounded down. In whole numbers up to the division, which cannot round a fraction up to a whole."""
    red, green, blue = (planes_BCHW[:, channel : channel + 1] for channel in range(3))
    return (red * 2989).add_(green * 5870).add_(blue * 1140).div_(10_000).floor_()


def _blend(planes_BCHW: Tensor, other: Tensor, factor_B: Tensor) -> Tensor:
    return _levels((planes_BCHW * _column(factor_B, planes_BCHW)).add_(other * _column(1 - factor_B, planes_BCHW)))


def _levels(value: Tensor) -> Tensor:
    """Brought to whole numbers in [0, 255], in place."""
    return value.clamp_(0, 255).floor_()


def _column(factor_B: Tensor, like: Tensor) -> Tensor:
    """One number a sample, to go with planes."""
    return factor_B.to(like)[:, None, None, None]
