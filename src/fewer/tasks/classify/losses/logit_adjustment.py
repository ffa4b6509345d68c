"""Logit adjustment (Menon et al. 2021, arXiv 2007.07314, eq. 10): cross-entropy of logits + tau * log prior.

The prior is the class's share of the training images. A class that is rare has to win by more in training, and the
plain logits, which are what is evaluated, then treat all classes alike. Neutral at tau = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.config import NonNegative
from fewer.tasks.classify.loss import LossParams
from fewer.tasks.classify.shifted import of_shifted

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.observation import Outcome
    from fewer.tasks.classify.loss import Loss, Setting

NEUTRAL = [{"adjustment_tau": 0.0}]
EXAMPLES = [{"adjustment_tau": 1.0}]


class Params(LossParams):
    mixes = True

    adjustment_tau: NonNegative = 1.0
    """Factor on the logarithm of the classes' shares."""


def build(params: Params, setting: Setting) -> Loss:
    import torch

    images_C = torch.tensor(setting.images_C, dtype=torch.float64).clamp(min=1)
    shift_1C = params.adjustment_tau * (images_C / images_C.sum()).log()[None]

    def adjusted(logits_BC: Tensor, label_B: Tensor) -> Outcome:
        return of_shifted(logits_BC, shift_1C.to(logits_BC.device), label_B, setting.label_smoothing)

    return adjusted
