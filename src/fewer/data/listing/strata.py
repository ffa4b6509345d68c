"""Draws of a part of every class, by lots that depend on seed, purpose and id alone. M: ids. C: classes that occur."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fewer.core import rng
from fewer.core.errors import DataError

_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def percent(text: str) -> float | None:
    """The number in "20%"; None for any other text."""
    match = _SHARE.fullmatch(text)
    return float(match[1]) if match else None


def drawn_by(annotations: str, by_masks: bool) -> str:
    """What notes say of a draw: masks have no class of their own, unless it goes by what they show."""
    return "stratified by class" if annotations != "masks" or by_masks else "drawn by chance"


def held_out_share(text: str, key: str) -> float | None:
    """The share that "20%" states, in (0, 1); None for any other text."""
    given = percent(text)
    if given is None:
        return None
    if not 0 < given < 100:
        raise DataError(f'{key} = "{text}": allowed: more than 0% and less than 100%; fix: {key} = "5%" or "none"')
    return given / 100


def grouped(ids_M: Tensor, label_N: Tensor, split_seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """The ids class by class, in random order within each; and how many each class has."""
    shuffled_M = ids_M[rng.shuffled(ids_M, split_seed, purpose)]
    grouped_M = shuffled_M[torch.argsort(label_N[shuffled_M], stable=True)]
    return grouped_M, torch.unique_consecutive(label_N[grouped_M], return_counts=True)[1]


def leading(grouped_M: Tensor, count_C: Tensor, wanted_C: Tensor) -> Tensor:
    """The first so many ids of every class, ascending."""
    rank_M = torch.arange(len(grouped_M)) - torch.repeat_interleave(count_C.cumsum(0) - count_C, count_C)
    return grouped_M[rank_M < torch.repeat_interleave(wanted_C, count_C)].sort().values


def stratified(ids_M: Tensor, label_N: Tensor, share: float, split_seed: int, purpose: str) -> Tensor:
    """The ids that a stratified share holds out, ascending.

    It is round(share x images) of each class, at least 1 of a class of 2 or more, never a whole class.
    """
    grouped_M, count_C = grouped(ids_M, label_N, split_seed, purpose)
    chosen_C = torch.minimum((count_C.double() * share + 0.5).long().clamp(min=1), count_C - 1)
    return leading(grouped_M, count_C, chosen_C)
