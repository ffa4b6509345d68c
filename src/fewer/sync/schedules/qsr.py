"""Quadratic synchronisation rule: the lower the learning rate, the longer the rounds.

Gu, Lyu, Arora, Zhang & Huang, "A Quadratic Synchronization Rule for Distributed Deep Learning", ICLR 2024, equation 2:
`H = max(every_steps, floor((alpha / lr)^2))`, looked at right behind a sync. While the rate rises, as in a warm-up,
rounds stay as long as the first one. The last round ends with the run.
"""

from __future__ import annotations

import math
from typing import final

from fewer.core.config import Positive, Section
from fewer.core.types import State
from fewer.sync.round import Round

_LONGEST = 1_000_000_000  # steps; a rate of zero would ask for endless rounds


class Params(Section):
    qsr_alpha: Positive = 0.02
    """Learning rate at which a round would have one step; above it `every_steps` decides. The paper tunes it, in the
    same way as the peak rate: 0.0175 for AdamW, 0.2 for SGD."""


@final
class Qsr:
    """The rule.

    Args:
        steps: The fewest steps of a round.
        alpha: The rule's coefficient, a learning rate.
    """

    wants_spread = False

    def __init__(self, steps: int, alpha: float) -> None:
        self.steps, self.alpha, self._lr = steps, alpha, 0.0

    def next(self, ended: Round) -> int:
        rises, self._lr = ended.lr > self._lr, ended.lr
        if rises:
            return self.steps
        ratio = self.alpha / ended.lr if ended.lr else math.inf
        return max(self.steps, int(min(ratio * ratio + 1e-9, _LONGEST)))

    def state_dict(self) -> State:
        return {"lr": self._lr}

    def load_state_dict(self, state: State) -> None:
        self._lr = state["lr"]


def build(params: Params, first: int) -> Qsr:
    return Qsr(first, params.qsr_alpha)
