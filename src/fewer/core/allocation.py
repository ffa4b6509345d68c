"""Totals shared out in whole numbers: evenly over batches and workers, in proportion over classes. C: classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def even_sizes(total: int, parts: int) -> list[int]:
    """`total` cut into `parts` sizes that differ by at most one, larger ones first."""
    return [total // parts + (index < total % parts) for index in range(parts)] if total else []


def shares(total: int, parts: int) -> list[int]:
    """`total` samples for `parts` workers or micro-batches: even, but never one sample alone; some may get none."""
    used = max(1, min(parts, total // 2))
    return even_sizes(total, used) + [0] * (parts - used) if total else [0] * parts


def batch_sizes(samples: int, size: int, counted: int) -> list[int]:
    """Sizes of batches that hold all samples; they differ by at most one, and none holds one sample alone.

    Args:
        samples: Samples to be cut into batches.
        size: Size of a full batch.
        counted: As many batches as this number of samples fills, as far as there are two samples for each.
    """
    most = samples if size == 1 else max(1, samples // 2)
    return even_sizes(samples, min(math.ceil(counted / size), most))


def largest_remainders(weight_C: Tensor, total: int, capacity_C: Tensor, least_C: Tensor | None = None) -> Tensor:
    """Shares out `total` in proportion to weights, within capacities, by the method of largest remainders.

    What a class cannot take goes to the others, again in proportion to their weights.

    Args:
        weight_C: Weights, not negative.
        total: What is shared out; no more than the capacities hold is.
        capacity_C: The most that each can take, int64.
        least_C: What each gets before anything else, int64, up to its capacity.

    Returns:
        Whole numbers, int64, whose sum is `total`, or that of the capacities, or that of `least_C`, if those are the
        nearest possible.
    """
    import torch

    quota_C = torch.zeros_like(capacity_C) if least_C is None else torch.minimum(least_C, capacity_C)
    least_C, total = quota_C, min(total, int(capacity_C.sum()))
    weight_C = weight_C.double().clone()
    open_C = torch.ones_like(capacity_C, dtype=torch.bool)
    while True:
        # Classes whose part of the total is below their least, or above their capacity, are settled one kind at a time.
        rest = total - int(quota_C[~open_C].sum())
        if not open_C.any() or rest <= 0:
            return quota_C
        if not weight_C[open_C].sum() > 0:
            weight_C[open_C] = 1.0
        part_C = torch.where(open_C, weight_C, 0.0) / weight_C[open_C].sum() * rest
        full_C, low_C = open_C & (part_C >= capacity_C), open_C & (part_C < least_C)
        over = (part_C - capacity_C)[full_C].sum()
        under = (least_C - part_C)[low_C].sum()
        if not full_C.any() and not low_C.any():
            return torch.where(open_C, _rounded(part_C, rest), quota_C)
        # The kind that moves more is settled first: settling the other could prove wrong afterwards.
        if full_C.any() and over >= under:
            quota_C, open_C = torch.where(full_C, capacity_C, quota_C), open_C & ~full_C
        else:
            open_C = open_C & ~low_C


def exact_parts(weight_C: Tensor, total: float, capacity_C: Tensor) -> Tensor:
    """Parts of `total` in proportion to weights, within capacities, not rounded; arguments as above.

    Returns:
        Numbers, float64, whose sum is `total`, or that of the capacities if that is less.
    """
    import torch

    part_C, capacity_C = torch.zeros_like(weight_C, dtype=torch.float64), capacity_C.double()
    open_C = capacity_C > 0
    while open_C.any():
        rest = max(0.0, total - float(part_C[~open_C].sum()))
        weight_of_open_C = torch.where(open_C, weight_C.double(), 0.0)
        if not weight_of_open_C.sum() > 0:
            weight_of_open_C = open_C.double()
        part_C = torch.where(open_C, weight_of_open_C / weight_of_open_C.sum() * rest, part_C)
        full_C = open_C & (part_C >= capacity_C)
        if not full_C.any():
            break
        part_C, open_C = torch.where(full_C, capacity_C, part_C), open_C & ~full_C
    return part_C


def _rounded(part_C: Tensor, total: int) -> Tensor:
    """Whole numbers next to `part_C` with sum `total`: the largest remainders are rounded up, of equals the first."""
    whole_C = part_C.floor().long()
    missing = total - int(whole_C.sum())
    up_C = (part_C - whole_C).argsort(descending=True, stable=True)[:missing]
    whole_C[up_C] += 1
    return whole_C


def split(parts: Sequence[int], total: int) -> list[int]:
    """Whole lengths in the proportions of `parts` that sum to `total`; the largest remainders are rounded up."""
    exact = [part * total / sum(parts) for part in parts]
    lengths = [math.floor(length) for length in exact]
    order = sorted(range(len(parts)), key=lambda i: lengths[i] - exact[i])
    for i in order[: total - sum(lengths)]:
        lengths[i] += 1
    return lengths
