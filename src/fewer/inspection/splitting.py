"""Splits of labelled images: by class, in groups that stay whole, by lots of a seed. Nothing is read or written here.

N: images. S: splits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fewer.core import rng
from fewer.core.errors import DataError, RecipeError
from fewer.inspection.looks import Ids, groups_of

SPLITS = ("train", "val", "test")
_PAIR = re.compile(r"\s*([^=,]+?)\s*=\s*([^=,]+?)\s*")


@dataclass(frozen=True)
class Sizes:
    """How large each split is meant to be.

    Attributes:
        kind: Whether `of` states shares, which sum to 1, or numbers of images, of which some may be left over.
        of: By split, in the order of `SPLITS`.
    """

    kind: Literal["fractions", "counts"]
    of: dict[str, float]

    def shares(self, images: int) -> dict[str, float]:
        """The share of each split; under "" the share of images that are in none.

        Raises:
            RecipeError: There are fewer images than are asked for.
        """
        if self.kind == "fractions":
            return self.of
        asked = int(sum(self.of.values()))
        if asked > images:
            raise RecipeError(
                f"--counts {self}: {asked:,} images are asked for, and {images:,} are there that decode; fix: smaller "
                "counts, or --fractions"
            )
        return {split: count / images for split, count in self.of.items()} | {"": 1 - asked / images}

    def __str__(self) -> str:
        return ",".join(f"{split}={size:g}" for split, size in self.of.items())


def sizes(kind: Literal["fractions", "counts"], text: str) -> Sizes:
    """Reads a text such as "train=0.8,val=0.1,test=0.1".

    Raises:
        RecipeError: It is no such text.
    """
    example = "train=0.8,val=0.1,test=0.1" if kind == "fractions" else "train=4000,val=500,test=500"
    found: dict[str, float] = {}
    problem = ""
    for part in text.split(","):
        match = _PAIR.fullmatch(part)
        size = _number(match[2], kind) if match else None
        if match is None or size is None:
            problem = (
                f"{part.strip()!r} is no split with {'a share' if kind == 'fractions' else 'a whole number'} above 0"
            )
        elif match[1] not in SPLITS:
            problem = f"there is no split {match[1]!r}; allowed: {', '.join(SPLITS)}"
        elif match[1] in found:
            problem = f"{match[1]} is given twice"
        else:
            found[match[1]] = size
    if not problem and ("train" not in found or len(found) < 2):
        problem = "train and at least one of val and test are needed"
    if not problem and kind == "fractions" and abs(sum(found.values()) - 1) > 1e-6:
        problem = f"the shares sum to {sum(found.values()):g}; they must sum to 1"
    if problem:
        raise RecipeError(f"--{kind} {text}: {problem}; fix: write it like {example}")
    return Sizes(kind, {split: found[split] for split in SPLITS if split in found})


def _number(text: str, kind: str) -> float | None:
    try:
        size = float(text) if kind == "fractions" else int(text)
    except ValueError:
        return None
    return size if 0 < size < np.inf else None


def united(count: int, edges: Iterable[tuple[Ids, Ids]]) -> Ids:
    """The group of each image, of those that pairs connect (N)."""
    ones, others = zip(*edges, strict=True)
    return groups_of(count, np.concatenate(ones), np.concatenate(others))


def assigned(names: Sequence[str], label_N: Ids, group_N: Ids, shares: dict[str, float], seed: int) -> list[str]:
    """The split of every image.

    Groups come class by class, large ones first, then in an order of lots; each goes to the split that lacks most
    images so far. So without groups of several, the sizes of the splits are exact but for rounding, and every class is
    within two images of its share. A group with a class that training does not know yet goes there: nothing can be
    tested that was never shown.

    Args:
        names: By which lots are drawn, so that they do not depend on what else there is (N).
        label_N: Classes. A group of several counts as the one that most of it has.
        group_N: What stays together.
        shares: Of each split, "train" among them; they sum to 1.
        seed: Of the lots.
    """
    lots = [rng.key(seed, "data split", name) for name in names]
    labels = label_N.tolist()
    members: dict[int, list[int]] = {}
    for at, group in enumerate(group_N.tolist()):
        members.setdefault(group, []).append(at)

    def turn(group: list[int]) -> tuple[int, int, int]:
        counts = Counter(labels[at] for at in group)
        return min(counts, key=lambda label: (-counts[label], label)), -len(group), min(lots[at] for at in group)

    split_N, done, known = [""] * len(names), 0, set[int]()
    have = dict.fromkeys(shares, 0)
    for group in sorted(members.values(), key=turn):
        done += len(group)
        split = max(shares, key=lambda each: shares[each] * done - have[each])
        here = {labels[at] for at in group}
        if not here <= known:
            split = "train"
        if split == "train":
            known |= here
        have[split] += len(group)
        for at in group:
            split_N[at] = split
    if empty := [split for split, share in shares.items() if split and share and not have[split]]:
        raise DataError(
            f"{', '.join(empty)} would hold no image: there are {len(names):,} images in {len(members):,} groups of "
            f"{len(set(labels)):,} classes, and every class needs one in train; fix: a larger share, or fewer --group"
        )
    return split_N
