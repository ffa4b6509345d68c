"""Focal loss with softmax: (1 - p)^gamma times cross-entropy (Lin et al. 2017, arXiv 1708.02002, eq. 4).

The published loss is that of a detector's sigmoids; on softmax probabilities it is what long-tailed classification
compares with (Cui et al. 2019). Neutral at gamma = 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fewer.core.config import NonNegative
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.tasks.classify.loss import LossParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.observation import Outcome
    from fewer.tasks.classify.loss import Loss, Setting

NEUTRAL = [{"focal_gamma": 0.0}]
EXAMPLES = [{"focal_gamma": 2.0}]


class Params(LossParams):
    smooths = False

    focal_gamma: NonNegative = 1.0
    """Power of 1 - p; 0: plain cross-entropy."""


def build(params: Params, setting: Setting) -> Loss:
    def focal(logits_BC: Tensor, label_B: Tensor) -> Outcome:
        import torch

        plain = cross_entropy(logits_BC, label_B)
        nll_B = plain.loss_sum_B
        # 1 - p without cancellation. Not zero: below gamma = 1 the slope there is infinite.
        missing_B = (-torch.expm1(-nll_B)).clamp(min=torch.finfo(nll_B.dtype).tiny)
        return replace(plain, loss_sum_B=missing_B**params.focal_gamma * nll_B)

    return focal
