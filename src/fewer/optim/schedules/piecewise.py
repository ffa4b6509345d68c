"""Straight lines from point to point (`PiecewiseLinear` of Page's cifar10-fast, 2018, and of pytorch-ignite).

It begins and ends wherever its first and last points say: what lies before the first has its rate, what lies behind the
last that one's. Two points at one moment make a drop.
"""

from __future__ import annotations

from itertools import pairwise

from fewer.core.clock import Duration
from fewer.core.config import Section, Share, Span
from fewer.optim.shapes import TINY, Shape, share_of

EXAMPLES = [{"schedule_points": [["0%", 0.2], ["1ep", 1.0], ["70%", 0.3], ["70%", 0.1], ["100%", 0.0]]}]

Point = tuple[Span, Share]


class Params(Section):
    schedule_points: tuple[Point, ...] = (
        (Duration(0, "%"), 0.1),
        (Duration(5, "%"), 1.0),
        (Duration(100, "%"), 0.0),
    )
    """When the learning rate is what share of `lr`, from the first moment to the last, e.g.
    `[["0%", 0.1], ["2ep", 1.0], ["100%", 0.0]]`."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if not self.schedule_points:
            return {"schedule_points": ': one point or more; try [["0%", 1.0], ["100%", 0.0]]'}
        try:
            moments = [span.in_epochs(epochs) for span, _ in self.schedule_points]
        except ValueError:  # steps or minutes, which are refused elsewhere
            return {}
        for index, (before, moment) in enumerate(pairwise(moments), 1):
            if moment < before:
                earlier, later = (span for span, _ in self.schedule_points[index - 1 : index + 1])
                text = f': "{later}" comes before "{earlier}" in {epochs} epochs; give the points in their order'
                return {"schedule_points": text}
        return {}


def build(params: Params, epochs: int) -> Shape:
    points = [(share_of(span, epochs), share) for span, share in params.schedule_points]

    def shape(progress: float) -> float:
        if progress < points[0][0]:
            return points[0][1]
        for (start, first), (end, last) in pairwise(points):
            if progress < end - TINY:
                return first + (last - first) * (progress - start) / (end - start)
        return points[-1][1]

    return shape
