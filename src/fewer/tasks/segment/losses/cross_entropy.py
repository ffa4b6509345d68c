"""Cross-entropy, a mean over the valid pixels of a batch, with label smoothing and class weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.registry import Settings
from fewer.tasks.segment.loss import LossParams, Sums

if TYPE_CHECKING:
    from fewer.tasks.segment.loss import Loss, Setting
    from fewer.tasks.segment.pixels import Pixels

EXAMPLES: list[Settings] = [{}]


class Params(LossParams):
    smooths = True


def build(params: Params, setting: Setting) -> Loss:
    smoothing = setting.label_smoothing

    def cross_entropy(pixels: Pixels) -> Sums:
        loss_BHW = pixels.nll_BHW
        if smoothing:
            spread_BHW = pixels.masked(-pixels.log_p_BCHW.mean(1))
            loss_BHW = (1 - smoothing) * loss_BHW + smoothing * spread_BHW
        return Sums(setting.weighted(loss_BHW, pixels).sum((1, 2)), pixels.count_B)

    return cross_entropy
