"""Focal loss with softmax, a mean over the valid pixels of a batch: (1 - p)^gamma times cross-entropy.

Lin et al. 2017 (arXiv 1708.02002, eq. 4) define it for the sigmoids of a detector; on softmax probabilities it puts
less weight on pixels that are learnt. Neutral at gamma = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.config import NonNegative
from fewer.tasks.segment.loss import LossParams, Sums

if TYPE_CHECKING:
    from fewer.tasks.segment.loss import Loss, Setting
    from fewer.tasks.segment.pixels import Pixels

NEUTRAL = [{"focal_gamma": 0.0}]
EXAMPLES = [{"focal_gamma": 2.0}]


class Params(LossParams):
    focal_gamma: NonNegative = 2.0
    """Power of 1 - p; 0: plain cross-entropy."""


def build(params: Params, setting: Setting) -> Loss:
    def focal(pixels: Pixels) -> Sums:
        import torch

        nll_BHW = pixels.nll_BHW
        # 1 - p without cancellation. Not zero: below gamma = 1 the slope there is infinite.
        missing_BHW = (-torch.expm1(-nll_BHW)).clamp(min=torch.finfo(nll_BHW.dtype).tiny)
        loss_BHW = missing_BHW**params.focal_gamma * nll_BHW
        return Sums(setting.weighted(loss_BHW, pixels).sum((1, 2)), pixels.count_B)

    return focal
