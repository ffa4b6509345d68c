"""Label-distribution-aware margins (Cao et al. 2019, arXiv 1906.07413, eq. 10 and 13): rare classes get wide ones.

The logit of the true class c is lowered by scale * margin * (n_min / n_c)^(1/4), n_c being the training images of c:
the rarest class has the margin asked for, in units of a cosine. It needs a normalised head, whose scale it takes.
Neutral at margin 0.
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

NEUTRAL = [{"ldam_margin": 0.0}]
EXAMPLES = [{"ldam_margin": 0.5}]


class Params(LossParams):
    needs_cosines = True

    ldam_margin: NonNegative = 0.5
    """Margin of the rarest class, in units of a cosine; needs `model.head = "normalized"`."""


def build(params: Params, setting: Setting) -> Loss:
    import torch

    rarest = min(filter(None, setting.images_C), default=1)  # of those that have images
    margin_C = torch.tensor(setting.images_C, dtype=torch.float64).clamp(min=rarest) ** -0.25
    margin_C *= setting.logit_scale * params.ldam_margin / margin_C.max()

    def ldam(logits_BC: Tensor, label_B: Tensor) -> Outcome:
        index_B1 = label_B[:, None]
        margin_B1 = margin_C.to(logits_BC.device)[index_B1]
        shift_BC = torch.zeros_like(logits_BC, dtype=torch.float64).scatter(1, index_B1, -margin_B1)
        return of_shifted(logits_BC, shift_BC, label_B, setting.label_smoothing)

    return ldam
