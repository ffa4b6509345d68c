"""Draws that methods share: the hardest, a uniform draw, the hardest of each class.

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


def by_probability(ids_M: Tensor, probability_M: Tensor, seed: int, *purpose: int | str) -> Tensor:
    """Which samples a systematic draw takes: each with its own probability, their number fixed to within one.

    The probabilities are laid end to end in an order by lot, and a sample is drawn where its stretch holds one of the
    points u, u + 1, u + 2, ... (Madow 1949).

    Args:
        ids_M: Sample ids, each once.
        probability_M: Probability of each, in [0, 1].
        seed: The run's seed.
        purpose: What the lots are for.

    Returns:
        A mask.
    """
    import torch

    if not len(ids_M):
        return torch.zeros(0, dtype=torch.bool)
    order = rng.shuffled(ids_M, seed, *purpose)
    start = float(rng.uniform(ids_M.min(), seed, *purpose, "start"))
    end_M = probability_M[order].double().clamp(0, 1).cumsum(0) + start
    points_M = (end_M + 1e-9).floor()  # sums of ones are whole
    drawn_M = torch.zeros(len(ids_M), dtype=torch.bool)
    drawn_M[order] = points_M.diff(prepend=points_M.new_zeros(1)) > 0
    return drawn_M


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
