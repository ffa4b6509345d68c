"""Cross-entropy and Dice loss together, a mean over the images of a batch (Isensee et al. 2021, nnU-Net).

The cross-entropy is a mean over the pixels of each image, so that an image counts as one however much of it is void.
Dice is that of `dice`, times `dice_weight`. At 0 it is cross-entropy, of images rather than of pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.config import NonNegative
from fewer.tasks.segment.dice import dice_loss
from fewer.tasks.segment.loss import LossParams, Sums

if TYPE_CHECKING:
    from fewer.tasks.segment.loss import Loss, Setting
    from fewer.tasks.segment.pixels import Pixels

EXAMPLES = [{"dice_weight": 1.0}]


class Params(LossParams):
    dice_weight: NonNegative = 1.0
    """Factor on the Dice loss beside the cross-entropy."""


def build(params: Params, setting: Setting) -> Loss:
    def both(pixels: Pixels) -> Sums:
        entropy_B = setting.weighted(pixels.nll_BHW, pixels).sum((1, 2)) / pixels.count_B.clamp(min=1)
        return Sums(entropy_B + params.dice_weight * dice_loss(pixels), (pixels.count_B > 0).long())

    return both
