"""AdaComm: rounds grow shorter as the training loss falls.

Wang & Joshi, "Adaptive Communication Strategies to Achieve the Best Error-Runtime Trade-off in Local-Update SGD", MLSys
2019, equations 18 and 19: behind every period `H = ceil(sqrt(loss / first loss) * every_steps)`, and half of the
present one where that is not less. Periods are epochs here, not seconds, so that a run can be repeated. The paper's
factor for a changing learning rate is left out: a rate that anneals to zero would ask for endless rounds.
"""

from __future__ import annotations

import math
from typing import final

from fewer.core.config import Positive, Section
from fewer.core.types import State
from fewer.sync.round import Round


class Params(Section):
    adacomm_epochs: Positive = 1.0
    """Epochs between two looks at the loss."""


@final
class AdaComm:
    """The rule.

    Args:
        steps: Steps of the first rounds.
        period: Epochs between two looks.
    """

    wants_spread = False

    def __init__(self, steps: int, period: float) -> None:
        self.steps, self.period = steps, period
        self._now, self._looks, self._first_loss, self._loss_sum, self._samples = steps, 0, 0.0, 0.0, 0

    def next(self, ended: Round) -> int:
        self._loss_sum, self._samples = self._loss_sum + ended.loss * ended.samples, self._samples + ended.samples
        looks = math.floor(ended.epochs_past / self.period + 1e-9)
        if looks == self._looks:
            return self._now
        loss, self._looks = self._loss_sum / self._samples, looks
        self._loss_sum, self._samples = 0.0, 0
        if not self._first_loss:
            self._first_loss = loss
            return self._now
        wanted = math.ceil(math.sqrt(max(0.0, loss / self._first_loss)) * self.steps)
        self._now = max(1, wanted if wanted < self._now else self._now // 2)
        return self._now

    def state_dict(self) -> State:
        return {
            "now": self._now,
            "looks": self._looks,
            "first_loss": self._first_loss,
            "loss_sum": self._loss_sum,
            "samples": self._samples,
        }

    def load_state_dict(self, state: State) -> None:
        self._now, self._looks, self._first_loss = state["now"], state["looks"], state["first_loss"]
        self._loss_sum, self._samples = state["loss_sum"], state["samples"]


def build(params: Params, first: int) -> AdaComm:
    return AdaComm(first, params.adacomm_epochs)
