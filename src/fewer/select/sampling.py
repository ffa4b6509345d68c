"""Draws that methods share: the hardest, a uniform draw, the hardest of each class.

No draw depends on how the samples are listed. M: samples to draw from. C: classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core import rng

if TYPE_CHECKING:
    from torch import Tensor


def count_of(share: float, samples: int) -> int:
    """round(share * samples), and one at least."""
    return max(1, round(share * samples))


def top_k(ids_M: Tensor, value_M: Tensor, count: int, seed: int, *purpose: int | str) -> Tensor:
    """The `count` samples of the highest values; ties are broken at random, NaN counts as highest.

    Args:
        ids_M: Sample ids, each once.
        value_M: What they are ranked by.
        count: How many; all where there are fewer.
        seed: The run's seed.
        purpose: What the lots are for: the method, the epoch.
    """
    import torch

    if count <= 0 or count >= len(ids_M):
        return ids_M[: max(0, count)]
    value_M = value_M.nan_to_num(nan=float("inf"))
    # Only what ties with the last one taken needs lots, and only its value needs finding: no sort of everything.
    last = value_M.kthvalue(len(ids_M) - count + 1).values
    above, tied = ids_M[value_M > last], ids_M[value_M == last]
    return torch.cat([above, sample_uniformly(tied, count - len(above), seed, *purpose)])


def exclude(ids_M: Tensor, taken: Tensor, size: int) -> Tensor:
    """The samples of `ids_M` that are not among `taken`, in their order.

    Args:
        ids_M: Sample ids.
        taken: Others.
        size: Ids are below this.
    """
    import torch

    is_taken_N = torch.zeros(size, dtype=torch.bool)
    is_taken_N[taken] = True
    return ids_M[~is_taken_N[ids_M]]


def sample_uniformly(ids_M: Tensor, count: int, seed: int, *purpose: int | str) -> Tensor:
    """A uniform draw of `count` samples without replacement; all where there are fewer."""
    return ids_M[rng.shuffled(ids_M, seed, *purpose)[: max(0, count)]]


def fair_count(share: float, ids_G: Tensor, seed: int, *purpose: int | str) -> int:
    """About share * G of the samples of a batch, rounded at random, so that small batches keep the share on average."""
    import torch

    exact = share * len(ids_G)
    lot = float(rng.uniform(ids_G.min() if len(ids_G) else torch.tensor(0), seed, *purpose))
    return int(exact) + (lot < exact - int(exact))


def fair_quotas(part_C: Tensor, seed: int, *purpose: int | str) -> Tensor:
    """Exact parts as whole numbers, rounded at random, so that each class has its part on average; int64.

    Largest remainders would give what is left of every small batch to the same classes.
    """
    import torch

    whole_C = (part_C + 1e-9).floor()
    up_C = by_probability(torch.arange(len(part_C)), part_C - whole_C, seed, *purpose)
    return whole_C.long() + up_C


def by_probability(ids_M: Tensor, probability_M: Tensor, seed: int, *purpose: int | str) -> Tensor:
    """Which samples a systematic draw takes: each with its own probability, their number fixed to within one.

    The probabilities are laid end to end in random order, and a sample is drawn where its stretch holds one of the
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


def top_k_per_class(
    ids_M: Tensor, label_M: Tensor, quota_C: Tensor, value_M: Tensor | None, seed: int, *purpose: int | str
) -> Tensor:
    """Of each class the `quota_C` samples of the highest values, ties at random; without values a uniform draw.

    Args:
        ids_M: Sample ids, each once.
        label_M: Their classes.
        quota_C: How many of each class; all where it has fewer.
        value_M: What they are ranked by; NaN counts as highest.
        seed: The run's seed.
        purpose: What the lots are for.
    """
    import torch

    wanted_M = quota_C[label_M] > 0
    ids_M, label_M = ids_M[wanted_M], label_M[wanted_M]
    size_C = torch.bincount(label_M, minlength=len(quota_C))
    start_C = size_C.cumsum(0) - size_C
    if value_M is None:
        order = rng.shuffled(ids_M, seed, *purpose)
        order = order[label_M[order].argsort(stable=True)]
        rank_M = torch.arange(len(order)) - start_C.repeat_interleave(size_C)
        return ids_M[order[rank_M < quota_C.repeat_interleave(size_C)]]
    value_M = value_M[wanted_M].nan_to_num(nan=float("inf"))
    sorted_M, order = value_M.sort(descending=True)
    sorted_M = sorted_M[label_M[order].argsort(stable=True)]
    # As in `top_k`: of each class all above the last one taken, and at random some of those that tie with it.
    cut_C = value_M.new_full((len(quota_C),), -float("inf"))
    cuts_C = (quota_C > 0) & (quota_C < size_C)
    cut_C[cuts_C] = sorted_M[(start_C + quota_C - 1)[cuts_C]]
    cut_M = cut_C[label_M]
    above_M, tied_M = value_M > cut_M, value_M == cut_M
    rest_C = quota_C - torch.bincount(label_M[above_M], minlength=len(quota_C))
    return torch.cat([ids_M[above_M], top_k_per_class(ids_M[tied_M], label_M[tied_M], rest_C, None, seed, *purpose)])


def class_means(value_M: Tensor, label_M: Tensor, images_C: Tensor) -> Tensor:
    """Mean of each class's values, float64; 0 for a class without samples."""
    import torch

    sum_C = torch.zeros(len(images_C), dtype=torch.float64).index_add_(0, label_M, value_M.double())
    return sum_C / images_C.clamp(min=1)
