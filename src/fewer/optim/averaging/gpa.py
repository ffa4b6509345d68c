"""Generalized Primal Averaging (Defazio et al. 2025): a moving average whose pull shapes where gradients are taken.

The optimizer moves z, gradients are taken at y = (1 - pull) z + pull * x, and x = keep * x + (1 - keep) z is evaluated
and published. Optimizer, momentum and schedule stay what they are. With the average over all iterates in
place of the moving one it would be `schedule_free`; with `pull = 0` it is a moving average beside plain training.

It costs two copies of the weights and a pass over them a step. Running statistics of BatchNorm belong to y: for an
evaluation they are estimated again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.config import Decay, Section
from fewer.optim.average import Setting

if TYPE_CHECKING:
    from torch import nn

    from fewer.optim.primal import PrimalAverage

EVALUATED = RENEWS_STATISTICS = MOVES = True
EXAMPLES = [{"gpa": {"pull": 0.8, "keep": 0.95}}]


class GpaParams(Section):
    """`[train.gpa]`: a moving average of the weights that gradients are taken near to (Defazio et al. 2025)."""

    pull: Decay = 0.9
    """Weight of the average in the point that gradients are taken at."""
    keep: Decay = 0.99
    """Weight of the past in the average, a step."""


class Params(Section):
    gpa: GpaParams | None = None


def build(params: Params, model: nn.Module, setting: Setting) -> PrimalAverage:
    from fewer.optim.primal import PrimalAverage

    assert params.gpa is not None
    return PrimalAverage(model, params.gpa.pull, params.gpa.keep)
