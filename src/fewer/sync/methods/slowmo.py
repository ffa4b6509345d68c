"""SlowMo: local SGD whose mean moves on with a slow momentum over rounds.

Wang, Tantia, Ballas & Rabbat, "SlowMo: Improving Communication-Efficient Distributed SGD with Slow Momentum", ICLR
2020, algorithm 1: `u <- beta u + (x - mean) / lr; x <- x - alpha lr u`. That divides by a rate which a schedule may
bring to zero. Here `v = lr u` is kept, `v <- beta (lr / lr before) v + (x - mean); x <- x - alpha v`, which is the same
and divides by no rate that is zero. Each group of parameters has its own rate.

What it saves: as much as local SGD. What it costs: two copies of the weights more. It makes up for some of the accuracy
that long rounds cost; where rounds are short, `beta` wants to be small. `beta = 0` with `alpha = 1` is local SGD; with
one worker and `beta = 0` it is Lookahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, final

from pydantic import Field

from fewer.core.config import Decay
from fewer.core.protocols import Comm
from fewer.core.types import State
from fewer.sync.exchange import Tensors
from fewer.sync.local_params import LocalParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.sync.rounds import Rounds

EXAMPLES = [
    {"every_steps": 2, "beta": 0.6, "schedule": "qsr", "payload": "topk"},
    {"every_steps": 4, "alpha": 0.8, "inner_state": "averaged"},
]


class Params(LocalParams):
    beta: Decay = 0.5
    """Slow momentum; 0 to 0.8, larger for more workers and longer rounds."""
    alpha: Annotated[float, Field(gt=0, le=10, strict=True)] = 1.0
    """Factor on the slow step."""


@final
class SlowMomentum:
    """The slow step of a round.

    Args:
        beta: Slow momentum.
        alpha: Factor on the step.
    """

    def __init__(self, beta: float, alpha: float) -> None:
        self.beta, self.alpha = beta, alpha
        self._velocity: dict[int, Tensor] = {}
        self._lrs: dict[int, float] = {}

    def update(self, anchors: Tensors, means: Tensors, lrs: Mapping[int, float]) -> Tensors:
        found = {}
        for place, anchor in anchors.items():
            change, before = anchor - means[place], self._lrs.get(place, 0.0)
            if place in self._velocity and before:
                change += self._velocity[place] * (self.beta * lrs[place] / before)
            self._velocity[place] = change
            found[place] = anchor - self.alpha * change
        self._lrs |= {place: lrs[place] for place in anchors}
        return found

    def state_dict(self) -> State:
        velocity = {str(place): value for place, value in self._velocity.items()}
        return {"velocity": velocity, "lrs": {str(place): lr for place, lr in self._lrs.items()}}

    def load_state_dict(self, state: State) -> None:
        self._velocity = {int(place): value.clone() for place, value in state["velocity"].items()}
        self._lrs = {int(place): lr for place, lr in state["lrs"].items()}


def build(params: Params, comm: Comm, workers: int | None) -> Rounds:
    from fewer.sync.rounds import build_rounds

    return build_rounds(params, comm, workers, SlowMomentum(params.beta, params.alpha))
