"""Linear warm-up to `lr`, then half a cosine down to `final` (Loshchilov & Hutter, SGDR, ICLR 2017)."""

from __future__ import annotations

from fewer.core.config import AnyLength
from fewer.optim.shapes import Shape, Warmup, after, annealed, share_of, warmed_up

EXAMPLES = [{"final": 0.05}, {"schedule_span": "1ep", "final": 0.1}]


class Params(Warmup):
    schedule_span: AnyLength | None = None
    """Length of the half cosine, from the end of the warm-up; left out: the rest of the run. It is `T_max` of torch's
    CosineAnnealingLR, and behaves so: one that is longer than the run ends above `final`, and behind one that is
    shorter the rate rises again, to `lr` after as long."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.schedule_span is not None and not self.schedule_span.value:
            return {
                "schedule_span": ': a cosine takes more than no time; leave it out for the whole run, or try "100ep"'
            }
        return {}


def build(params: Params, epochs: int) -> Shape:
    start, final = share_of(params.warmup, epochs), params.final
    if params.schedule_span is None:
        return warmed_up(params, epochs, lambda progress: annealed(1.0, final, after(progress, start)))
    span = share_of(params.schedule_span, epochs)
    return warmed_up(params, epochs, lambda progress: annealed(1.0, final, (progress - start) / span))
