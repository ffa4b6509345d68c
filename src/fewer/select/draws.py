"""Draws that methods share: the hardest, a uniform draw, and how a total is shared out among classes.

No draw depends on how the samples are listed. M: samples to draw from. C: classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer import rng

if TYPE_CHECKING:
    from torch import Tensor


def count_of(share: float, samples: int) -> int:
    """round(share * samples), and one at least."""
    return max(1, round(share * samples))


def highest(ids_M: Tensor, value_M: Tensor, count: int, seed: int, *purpose: int | str) -> Tensor:
    """The `count` samples of the highest values; equal values are drawn by lot, NaN counts as highest.

    Args:
        ids_M: Sample ids, each once.
        value_M: What they are ranked by.
        count: How many; all where there are fewer.
        seed: The run's seed.
        purpose: What the lots are for: the method, the epoch.
    """
    lots_M = rng.shuffled(ids_M, seed, *purpose)
    value_M = value_M[lots_M].nan_to_num(float("inf"))
    return ids_M[lots_M][value_M.argsort(descending=True, stable=True)[: max(0, count)]]


def uniform(ids_M: Tensor, count: int, seed: int, *purpose: int | str) -> Tensor:
    """A uniform draw of `count` samples without replacement; all where there are fewer."""
    return ids_M[rng.shuffled(ids_M, seed, *purpose)[: max(0, count)]]


def fair_count(share: float, ids_G: Tensor, seed: int, *purpose: int | str) -> int:
    """About share * G of the samples of a batch, rounded by lot, so that small batches keep the share on average."""
    import torch

    exact = share * len(ids_G)
    lot = float(rng.uniform(ids_G.min() if len(ids_G) else torch.tensor(0), seed, *purpose))
    return int(exact) + (lot < exact - int(exact))


def by_class(
    ids_M: Tensor, label_M: Tensor, quota_C: Tensor, value_M: Tensor | None, seed: int, *purpose: int | str
) -> Tensor:
    """Of each class the `quota_C` samples of the highest values, equal ones by lot; without values a uniform draw.

    Args:
        ids_M: Sample ids, each once.
        label_M: Their classes.
        quota_C: How many of each class; all where it has fewer.
        value_M: What they are ranked by; NaN counts as highest.
        seed: The run's seed.
        purpose: What the lots are for.
    """
    import torch

    order = rng.shuffled(ids_M, seed, *purpose)
    if value_M is not None:
        order = order[value_M[order].nan_to_num(float("inf")).argsort(descending=True, stable=True)]
    order = order[label_M[order].argsort(stable=True)]
    size_C = torch.bincount(label_M, minlength=len(quota_C))
    rank_M = torch.arange(len(order)) - (size_C.cumsum(0) - size_C).repeat_interleave(size_C)
    return ids_M[order[rank_M < quota_C[label_M[order]]]]


def class_means(value_M: Tensor, label_M: Tensor, images_C: Tensor) -> Tensor:
    """Mean of each class's values, float64; 0 for a class without samples."""
    import torch

    sum_C = torch.zeros(len(images_C), dtype=torch.float64).index_add_(0, label_M, value_M.double())
    return sum_C / images_C.clamp(min=1)


def quotas(weight_C: Tensor, total: int, capacity_C: Tensor, least_C: Tensor | None = None) -> Tensor:
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


def _rounded(part_C: Tensor, total: int) -> Tensor:
    """Whole numbers next to `part_C` with sum `total`: the largest remainders are rounded up, of equals the first."""
    whole_C = part_C.floor().long()
    missing = total - int(whole_C.sum())
    up_C = (part_C - whole_C).argsort(descending=True, stable=True)[:missing]
    whole_C[up_C] += 1
    return whole_C
