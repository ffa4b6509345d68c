"""Linear warm-up to `lr`, which stays until the cooldown, in which it falls to `final` (Hägele et al., NeurIPS 2024).

Nothing before the cooldown depends on the length of the run: one trunk serves runs of any length, each of which
branches off for a cooldown of its own (`fewer branch`, `fewer ladder`).
"""

from __future__ import annotations

import math
from typing import Literal

from fewer.core.clock import Duration
from fewer.core.config import Span
from fewer.optim.shapes import Shape, Warmup, after, share_of, warmed_up

EXAMPLES = [{"cooldown": "40%"}, {"cooldown": "1ep", "cooldown_shape": "linear", "final": 0.05}]


class Params(Warmup):
    cooldown: Span = Duration(20, "%")
    """The last part of the run, in which the learning rate falls; nothing: it stays constant."""
    cooldown_shape: Literal["sqrt", "linear"] = "sqrt"
    """How it falls: by 1 less the square root of the part of the cooldown that is over, steep at first, or straight."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        try:
            both = self.warmup.in_epochs(epochs) + self.cooldown.in_epochs(epochs)
        except ValueError:  # steps or minutes, which are refused elsewhere
            return {}
        if both > epochs:
            return {"cooldown": f": with a warm-up of {self.warmup} it is longer than the run; shorten one of the two"}
        return {}


def build(params: Params, epochs: int) -> Shape:
    start, final = 1 - share_of(params.cooldown, epochs), params.final

    def falling(progress: float) -> float:
        past = max(0.0, after(progress, start))
        return 1 + (final - 1) * (past if params.cooldown_shape == "linear" else math.sqrt(past))

    return warmed_up(params, epochs, falling)
