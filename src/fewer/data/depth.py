"""The depth of a set: bits that the values of its 16-bit images have."""

from __future__ import annotations

import torch

from fewer.data.decode.decode import Damaged, deep_values
from fewer.data.decode.depth import FULL, Depth, depth_for, peak_of
from fewer.data.listing.splits import spread
from fewer.data.sources import Source

_LOOKED_AT, _MEASURED = 64, 256  # images: for any of more than eight bits, and then for their range


def depth_of(source: Source, asked: Depth) -> tuple[int, list[str]]:
    """Bits that the values of a source's 16-bit images have, and a sentence for the user where that matters.

    Args:
        source: Where the training images come from. Some at even distances are read, whichever train: shares, subsets
            and damaged images change nothing.
        asked: `data.depth`; under "auto" the fewest of 8, 10, 12, 14 and 16 bits that hold all values seen.
    """
    if asked != "auto":
        return asked, []
    peak = _peak(source, _LOOKED_AT)
    if not peak:
        return FULL, []
    peak = max(peak, _peak(source, _MEASURED))
    depth = depth_for(peak)
    if depth == FULL:
        return FULL, []
    return depth, [
        f"images of 16 bits hold values up to {peak:,}, so they are read as {depth} bits: {(1 << depth) - 1:,} becomes "
        "white; data.depth says otherwise"
    ]


def _peak(source: Source, images: int) -> int:
    """The largest value of some images' 16-bit channels; 0 where there are none."""
    peak = 0
    for id in spread(torch.arange(len(source)), images).tolist():
        try:
            values = deep_values(source.read(id))
        except (Damaged, OSError):
            continue  # whoever decodes it will say so
        peak = max(peak, 0 if values is None else peak_of(values))
    return peak
