"""Numbers of images that a run shows to its user in pictures; each is loaded for that."""

from __future__ import annotations

from typing import NamedTuple

from fewer.core.evaluation import WORST_SAMPLES

SUSPECTED_IMAGES = 2_000  # training images whose boxes or masks are held against the published model, at most


class Shown(NamedTuple):
    """Images in pictures, at most.

    Attributes:
        rows, views: Training images of a stage, and epochs' views of each.
        watched: Validation images after every evaluation.
        worst: Images of the highest loss at the end.
    """

    rows: int
    views: int
    watched: int
    worst: int


_SQUARES = Shown(rows=8, views=6, watched=16, worst=WORST_SAMPLES)
_WHOLE = Shown(rows=4, views=4, watched=4, worst=24)  # larger, as boxes and masks are drawn in them


def shown_of(is_whole: bool) -> Shown:
    """The numbers for squares cut out of pictures, or for whole pictures."""
    return _WHOLE if is_whole else _SQUARES
