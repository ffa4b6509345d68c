"""Dice loss, a mean over the images of a batch: 1 - 2 |P T| / (|P| + |T|), a mean over the classes of the image.

Of each class, P are its probabilities and T the pixels that have it (Milletari et al. 2016, arXiv 1606.04797, with the
plain sums of Sudre et al. 2017 in the denominator). Classes that an image lacks have no overlap and take no part: their
probability is lowered through the classes that are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.registry import Settings
from fewer.tasks.segment.dice import dice_loss
from fewer.tasks.segment.loss import LossParams, Sums

if TYPE_CHECKING:
    from fewer.tasks.segment.loss import Loss, Setting
    from fewer.tasks.segment.pixels import Pixels

EXAMPLES: list[Settings] = [{}]


class Params(LossParams):
    weighs = False


def build(params: Params, setting: Setting) -> Loss:
    def dice(pixels: Pixels) -> Sums:
        return Sums(dice_loss(pixels), (pixels.count_B > 0).long())

    return dice
