"""Half a cosine up to `lr` until `cycle_peak`, one down to `final`; momentum runs against it (Smith & Topin 2018)."""

from __future__ import annotations

from typing import Literal

from fewer.core.clock import Duration
from fewer.core.config import Decay, Section, Share, Span
from fewer.optim.shapes import Shape, after, annealed, share_of

EXAMPLES = [{"cycle_peak": "40%"}, {"cycle_momentum": "off"}]


class Params(Section):
    warmup_start: Share = 0.1
    """Learning rate at the first step, as a share of `lr`."""
    final: Share = 0.0
    """Learning rate at the very end, as a share of `lr`."""
    cycle_peak: Span = Duration(30, "%")
    """When the learning rate peaks."""
    cycle_momentum: tuple[Decay, Decay] | Literal["off"] = (0.85, 0.95)
    """Momentum, or the first beta, at the peak and at both ends; `off`: constant."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.cycle_momentum == "off":
            return {}
        low, high = self.cycle_momentum
        found = {}
        if low > high:
            found["cycle_momentum"] = f": the lower one comes first; write [{high:g}, {low:g}]"
        if "momentum" in type(self).model_fields:
            reason = 'has no effect beside train.cycle_momentum; set that to "off" for a constant momentum'
            found |= self.changed(["momentum"], reason)
        return found


def build(params: Params, epochs: int) -> Shape:
    return _cycle(share_of(params.cycle_peak, epochs), params.warmup_start, 1.0, params.final)


def momentum(params: Params, epochs: int) -> Shape | None:
    """Momentum that is low where the rate is high."""
    if params.cycle_momentum == "off":
        return None
    low, high = params.cycle_momentum
    return _cycle(share_of(params.cycle_peak, epochs), high, low, high)


def _cycle(peak: float, first: float, turning: float, last: float) -> Shape:
    """Half a cosine from `first` to `turning`, which is reached at `peak`, and one to `last`."""

    def shape(progress: float) -> float:
        if progress < peak:
            return annealed(first, turning, progress / peak)
        return annealed(turning, last, after(progress, peak))

    return shape
