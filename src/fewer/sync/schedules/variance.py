"""Rounds that grow with the signal in the workers' gradients: where these agree, syncs can wait.

`H = scale * G / s^2` within bounds, where G is the squared length of the gradient that the workers have in common, and
s^2 the variance of one worker's about it. Both are estimated from the ways that the workers of a round went, which
costs no further bytes: `s^2 = (sum |d_k|^2 - K |d|^2) / (K - 1)` and `G = |d|^2 - s^2 / K`, and as a way is a sum of
steps, their ratio is divided by the steps of the round. G of a single round is often negative, so both are moving
averages. Not taken from a paper; one round's estimate without averages jumps between the bounds.
"""

from __future__ import annotations

from typing import final

from fewer.core.config import Count, Decay, Positive, Section
from fewer.core.types import State
from fewer.sync.round import Round


class Params(Section):
    variance_scale: Positive = 100.0
    """Steps of a round where signal and noise are equal."""
    variance_decay: Decay = 0.8
    """How much of the moving averages a round keeps."""
    longest: Count = 64
    """Most steps of a round; `every_steps` is the fewest."""


@final
class Variance:
    """The rule.

    Args:
        steps: The fewest steps of a round.
        scale: Steps where signal and noise are equal.
        decay: How much of the moving averages a round keeps.
        longest: The most steps of a round.
    """

    wants_spread = True

    def __init__(self, steps: int, scale: float, decay: float, longest: int) -> None:
        self.steps, self.scale, self.decay, self.longest = steps, scale, decay, max(steps, longest)
        self._signal, self._noise = 0.0, 0.0

    def next(self, ended: Round) -> int:
        if ended.spread is None:
            return self.steps
        # A way of H steps has H^2 times a step's signal, and H times its noise.
        signal, noise = ended.spread.signal / ended.steps**2, ended.spread.noise / ended.steps
        self._signal = self.decay * self._signal + (1 - self.decay) * signal
        self._noise = self.decay * self._noise + (1 - self.decay) * noise
        if self._signal <= 0:
            return self.steps
        ratio = self._signal / self._noise if self._noise else float(self.longest)
        return int(min(self.longest, max(self.steps, self.scale * ratio)))

    def state_dict(self) -> State:
        return {"signal": self._signal, "noise": self._noise}

    def load_state_dict(self, state: State) -> None:
        self._signal, self._noise = state["signal"], state["noise"]


def build(params: Params, first: int) -> Variance:
    return Variance(first, params.variance_scale, params.variance_decay, params.longest)
