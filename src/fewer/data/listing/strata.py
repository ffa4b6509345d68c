"""Draws of a part of every class, by lots that depend on seed, purpose and id alone. M: ids. C: classes that occur."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fewer.core import rng

_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def percent(text: str) -> float | None:
    """The number in "20%"; None for any other text."""
    match = _SHARE.fullmatch(text)
    return float(match[1]) if match else None


def grouped(ids_M: Tensor, label_N: Tensor, split_seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """The ids class by class, in random order within each; and how many each class has."""
    shuffled_M = ids_M[rng.shuffled(ids_M, split_seed, purpose)]
    grouped_M = shuffled_M[torch.argsort(label_N[shuffled_M], stable=True)]
    return grouped_M, torch.unique_consecutive(label_N[grouped_M], return_counts=True)[1]


def leading(grouped_M: Tensor, count_C: Tensor, wanted_C: Tensor) -> Tensor:
    """The first so many ids of every class, ascending."""
    rank_M = torch.arange(len(grouped_M)) - torch.repeat_interleave(count_C.cumsum(0) - count_C, count_C)
    return grouped_M[rank_M < torch.repeat_interleave(wanted_C, count_C)].sort().values
