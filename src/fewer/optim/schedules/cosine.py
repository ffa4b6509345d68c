"""Linear warm-up to `lr`, then half a cosine down to `final` (Loshchilov & Hutter, SGDR, ICLR 2017)."""

from __future__ import annotations

from fewer.optim.shapes import Shape, Warmup, after, annealed, share_of, warmed_up

EXAMPLES = [{"final": 0.05}]


class Params(Warmup):
    pass


def build(params: Params, epochs: int) -> Shape:
    start = share_of(params.warmup, epochs)
    return warmed_up(params, epochs, lambda progress: annealed(1.0, params.final, after(progress, start)))
