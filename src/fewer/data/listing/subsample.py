"""A smaller training set: a fixed part of every class, or a long tail of classes.

Both are drawn by (`split_seed`, purpose, id), after the images for validation and test were taken: these depend on
neither. M: training images. C: classes that they have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fewer.core.allocation import largest_remainders
from fewer.core.errors import RecipeError
from fewer.data.listing.strata import grouped, leading, percent


@dataclass(frozen=True)
class LongTail:
    """How fast classes thin out in their order: `exp` evenly in the logarithm, `step` from the second half on.

    Attributes:
        kind: The shape.
        factor: Images of the first class over those of the last.
    """

    kind: Literal["exp", "step"]
    factor: float

    def profile(self, classes: int) -> list[float]:
        """Images of every class as a share of the first one's (Cui et al. 2019; Cao et al. 2019)."""
        if self.kind == "step":
            return [1.0 if c < max(1, classes // 2) else 1 / self.factor for c in range(classes)]
        return [(1 / self.factor) ** (c / max(1, classes - 1)) for c in range(classes)]

    def counts(self, available_C: list[int]) -> list[int]:
        """Images of every class: floor(n x share), at least one, with the largest n that every class has images for.

        Args:
            available_C: Images that each class has, at least one.
        """
        shares = self.profile(len(available_C))
        most = min(map(_most, available_C, shares))
        return [_part(most, share) for share in shares]

    def scarcest(self, available_C: list[int]) -> int:
        """The class that bounds n: the first that could not give its share of one image more in the first class."""
        bounds = list(map(_most, available_C, self.profile(len(available_C))))
        return bounds.index(min(bounds))


def _most(available: int, share: float) -> int:
    """The largest first class of which another one has its share."""
    most = math.ceil((available + 1) / share)
    while _part(most, share) > available:
        most -= 1
    return most


def _part(most: int, share: float) -> int:
    return max(1, math.floor(most * share + 1e-9))  # 300 x 0.1 is 30, whatever the rounding


def subset(
    ids_M: Tensor, label_N: Tensor, asked: int | str, split_seed: int, notes: list[str], by: str = "stratified by class"
) -> Tensor:
    """Some of the training images, with every class in proportion and at least one image of each.

    Args:
        ids_M: Ids of the training images.
        label_N: Class of every id.
        asked: How many, or a share such as "20%".
        split_seed: Seed of the draw.
        notes: Where to say what was done.
        by: What the draw goes by, in words.

    Returns:
        Ids, ascending; exactly as many as asked, by largest remainders.

    Raises:
        RecipeError: There are fewer images, or more classes.
    """
    grouped_M, count_C = grouped(ids_M, label_N, split_seed, "subset")
    share = percent(asked) if isinstance(asked, str) else None
    total = int(asked) if share is None else max(1, round(share / 100 * len(ids_M)))
    written = f'"{asked}"' if isinstance(asked, str) else str(asked)
    if total > len(ids_M):
        raise RecipeError(
            f"data.subset = {written}: there are {len(ids_M):,} training images once validation and test are taken; "
            f"ask for at most {len(ids_M)}, or leave it out"
        )
    if total < len(count_C):
        raise RecipeError(
            f"data.subset = {written}: {total} images for {len(count_C)} classes; every class keeps one at least: "
            f"ask for {len(count_C)} or more"
        )
    quota_C = largest_remainders(count_C, total, count_C, torch.ones_like(count_C))
    notes.append(f"subset of {total:,} of {len(ids_M):,} training images, {by}, split_seed {split_seed}")
    return leading(grouped_M, count_C, quota_C)


def thinned(
    ids_M: Tensor, label_N: Tensor, classes: Sequence[str], tail: LongTail, split_seed: int, notes: list[str]
) -> Tensor:
    """The training images of a long tail, ascending: the lower a class in their order, the more it keeps.

    Args:
        ids_M: Ids of the training images.
        label_N: Class of every id.
        classes: Names of the classes.
        tail: The shape.
        split_seed: Seed of the draw.
        notes: Where to say what was done.
    """
    grouped_M, count_C = grouped(ids_M, label_N, split_seed, "long_tail")
    available_C = count_C.tolist()
    kept_C = tail.counts(available_C)
    note = (
        f"long tail ({tail.kind}, factor {tail.factor:g}): {len(kept_C)} classes from {max(kept_C):,} to "
        f"{min(kept_C):,} images, {sum(kept_C):,} in all"
    )
    if max(kept_C) < max(available_C):
        least = tail.scarcest(available_C)
        name = classes[int(label_N[grouped_M].unique()[least])]
        note += f"; class {name!r} with its {available_C[least]:,} images allows no more"
    notes.append(note)
    return leading(grouped_M, count_C, torch.tensor(kept_C))


def nothing_held_out(purpose: str) -> str:
    """A warning where too few images leave none to hold out for a purpose, `test` or `val`."""
    what = "how good the model is" if purpose == "test" else "which epoch is best"
    fix = f"add images of each class, or give data.{purpose} a folder of its own"
    return f"warning: no image is left for {purpose}, so nothing says {what}; {fix}"
