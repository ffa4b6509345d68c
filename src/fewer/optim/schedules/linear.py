"""Linear warm-up to `lr`, then linear decay to `final` (Li et al., "Budgeted training", ICLR 2020)."""

from __future__ import annotations

from fewer.core.registry import Settings
from fewer.optim.shapes import Shape, Warmup, share_of, warmed_up

EXAMPLES: list[Settings] = [{}]


class Params(Warmup):
    pass


def build(params: Params, epochs: int) -> Shape:
    start, final = share_of(params.warmup, epochs), params.final

    def falling(progress: float) -> float:
        return 1.0 if start >= 1 else 1 + (final - 1) * (progress - start) / (1 - start)

    return warmed_up(params, epochs, falling)
