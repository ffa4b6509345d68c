"""Groups of images by the number of their objects, by which selection guards and draws.

N: all ids of the source. G: groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.objects import ObjectTable

BINS = 5  # of the images that have objects, at most
BACKGROUND = 0  # the group of images without any


def groups(label_N: Tensor, classes: Sequence[str], objects: ObjectTable | None) -> tuple[Tensor, int]:
    """The group of every sample: how many objects it has, in bins of nearly equal numbers of images.

    A crowded image has more that can be wrong than one with a single object, and an image of background has next to
    nothing: within a bin they can be compared. Images without objects are group 0, whether there are any or not. The
    others are cut at the quantiles of their numbers of objects; images of one number stay together, so that there may
    be fewer bins than five. Only objects that are trained on count.

    Args:
        label_N: -1 where an id is not a training sample, whose number of objects then decides nothing.
        classes: Names of the classes.
        objects: The boxes of every id of the source; None: nothing is known of them, and all are one group.

    Returns:
        The group of every id, int64, -1 where it is not a training sample; and the number of groups.
    """
    import torch

    if objects is None:
        return torch.where(label_N >= 0, 0, -1), 1
    count_N = torch.from_numpy(objects.count_N)
    known = count_N[(label_N >= 0) & (count_N > 0)].sort().values
    if not len(known):
        return torch.where(label_N >= 0, BACKGROUND, -1), 1
    # A bin begins where the numbers of objects pass its quantile: a number never falls into two bins.
    places = [len(known) * part // BINS for part in range(1, BINS)]
    start_G = known[places].unique()
    start_G = start_G[start_G > known[0]]
    bin_N = torch.searchsorted(start_G, count_N.contiguous(), right=True) + 1
    group_N = torch.where(count_N > 0, bin_N, BACKGROUND)
    return torch.where(label_N >= 0, group_N, -1), len(start_G) + 2
