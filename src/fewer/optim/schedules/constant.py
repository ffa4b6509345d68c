"""Linear warm-up to `lr`, where it then stays; `final` has no effect."""

from __future__ import annotations

from fewer.optim.shapes import Shape, Warmup, warmed_up


class Params(Warmup):
    pass


def build(params: Params, epochs: int) -> Shape:
    return warmed_up(params, epochs, lambda progress: 1.0)
