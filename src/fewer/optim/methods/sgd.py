"""SGD with momentum, plain or in Nesterov's form (Sutskever et al. 2013); torch's own.

Weight decay is added to the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.config import Decay, Flag, Section

if TYPE_CHECKING:
    import torch

EXAMPLES = [{"lr": 0.05}, {"lr": 0.05, "momentum": 0.0, "nesterov": False}]
USUAL_LR = {"random": (0.01, 0.5), "given": (0.001, 0.05)}


class Params(Section):
    momentum: Decay = 0.9
    """0 for none."""
    nesterov: Flag = True
    """Nesterov's form of momentum."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.nesterov and not self.momentum:
            return {"momentum": "leaves no momentum to Nesterov's form, which is on; set train.nesterov = false"}
        return {}


def build(params: Params, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from torch.optim import SGD

    return SGD(groups, momentum=params.momentum, nesterov=params.nesterov)
