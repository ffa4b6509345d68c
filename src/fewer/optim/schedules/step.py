"""Linear warm-up to `lr`, and a factor of `step_gamma` at each drop; `final` has no effect."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fewer.core.clock import Duration
from fewer.core.config import Span
from fewer.optim.shapes import TINY, Shape, Warmup, share_of, warmed_up

EXAMPLES = [{"step_at": ["1ep", "80%"], "step_gamma": 0.3}]


class Params(Warmup):
    step_every: Span = Duration(30, "%")
    """Time between two drops of the learning rate, counted from the start."""
    step_at: tuple[Span, ...] = ()
    """When it drops, e.g. `["50%", "75%"]`, in place of `step_every`."""
    step_gamma: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.1
    """Factor of a drop."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.step_at:
            return self.changed(["step_every"], "has no effect beside train.step_at; leave one of the two out")
        if not self.step_every.value:
            return {"step_every": ': more than nothing must lie between drops; try "30%"'}
        return {}


def build(params: Params, epochs: int) -> Shape:
    every, at = share_of(params.step_every, epochs), [share_of(span, epochs) for span in params.step_at]

    def dropped(progress: float) -> float:
        return params.step_gamma ** (sum(progress > each - TINY for each in at) if at else int(progress / every + TINY))

    shape = warmed_up(params, epochs, lambda progress: 1.0)
    return lambda progress: shape(progress) * dropped(progress)
