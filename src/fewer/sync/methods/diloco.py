"""DiLoCo: long rounds, whose mean change is the gradient of an outer SGD with Nesterov momentum.

Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models", 2023, algorithm 1, a federated
optimization in the sense of Reddi et al., ICLR 2021: `d = x - mean; m <- mu m + d; x <- x - lr (d + mu m)`. The outer
rate is constant. The workers keep the state of their own optimizers.

What it saves: as much as local SGD, with rounds of hundreds of steps. What it costs: two copies of the weights more.
`outer_lr = 1` with `outer_momentum = 0` is local SGD; without Nesterov's form and at a constant rate it is SlowMo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, final

from pydantic import Field

from fewer.core.config import Decay, Flag
from fewer.core.protocols import Comm
from fewer.core.types import State
from fewer.sync.exchange import Tensors
from fewer.sync.local_params import LocalParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.sync.rounds import Rounds

EXAMPLES = [
    {"every_steps": 3, "payload": "bf16"},
    {"every_steps": 4, "schedule": "adacomm", "outer_nesterov": False, "inner_state": "reset"},
]


class Params(LocalParams):
    outer_lr: Annotated[float, Field(gt=0, le=10, strict=True)] = 0.7
    """Learning rate of the outer steps."""
    outer_momentum: Decay = 0.9
    """Momentum of the outer steps."""
    outer_nesterov: Flag = True
    """Look ahead along the momentum, as Nesterov's form does; else heavy ball."""


@final
class OuterSgd:
    """SGD on the mean change of a round, as torch.optim.SGD takes steps.

    Args:
        lr: Learning rate.
        momentum: Momentum.
        nesterov: Nesterov's form.
    """

    def __init__(self, lr: float, momentum: float, nesterov: bool) -> None:
        self.lr, self.momentum, self.nesterov = lr, momentum, nesterov
        self._momenta: dict[int, Tensor] = {}

    def update(self, anchors: Tensors, means: Tensors, lrs: Mapping[int, float]) -> Tensors:
        found = {}
        for place, anchor in anchors.items():
            change = anchor - means[place]
            momentum = self._momenta[place] * self.momentum + change if place in self._momenta else change
            self._momenta[place] = momentum
            found[place] = anchor - self.lr * (change + self.momentum * momentum if self.nesterov else momentum)
        return found

    def state_dict(self) -> State:
        return {"momenta": {str(place): value for place, value in self._momenta.items()}}

    def load_state_dict(self, state: State) -> None:
        self._momenta = {int(place): value.clone() for place, value in state["momenta"].items()}


def build(params: Params, comm: Comm, workers: int | None) -> Rounds:
    from fewer.sync.rounds import build_rounds

    outer = OuterSgd(params.outer_lr, params.outer_momentum, params.outer_nesterov)
    return build_rounds(params, comm, workers, outer)
