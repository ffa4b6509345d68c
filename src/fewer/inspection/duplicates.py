"""Duplicates: images of equal pixels, and images that look alike, within a split, across splits and across classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fewer.inspection.findings import Finding
from fewer.inspection.inventory import ALL, Part
from fewer.inspection.looks import Ids, alike
from fewer.inspection.probe import ImageFacts

_ORDER = {"train": 0, ALL: 0, "val": 1, "test": 2}
_Where = tuple[int, int]  # part, and position in it


@dataclass(frozen=True)
class Copies:
    """The images of all parts that decode, and which of them are equal or look alike.

    Attributes:
        where: Part and position of each image that decodes, the training images first (N).
        first: The first image with the same pixels, itself where there is none before it (N).
        one, other: Positions of pairs that look alike but are not equal, of firsts only; the lesser one is `one` (P).
    """

    where: list[_Where]
    first: Ids
    one: Ids
    other: Ids


def copies(parts: list[Part], facts_of: list[list[ImageFacts]]) -> Copies:
    """Finds equal images and such that look alike.

    Args:
        parts: The images.
        facts_of: Their facts, part by part.
    """
    where = [(i, at) for i, facts in enumerate(facts_of) for at, each in enumerate(facts) if not each.code]
    where.sort(key=lambda place: _ORDER[parts[place[0]].split])
    firsts: dict[bytes, int] = {}
    facts = [facts_of[i][at] for i, at in where]
    first = np.array([firsts.setdefault(each.pixels_hash, at) for at, each in enumerate(facts)], np.int64)
    return Copies(where, first, *alike([each.look if first[at] == at else b"" for at, each in enumerate(facts)]))


def duplicates(parts: list[Part], facts_of: list[list[ImageFacts]]) -> Iterator[Finding]:
    """Findings of images that are equal to an earlier one by their upright RGB pixels, or look like one.

    Args:
        parts: The images.
        facts_of: Their facts, part by part.
    """
    found = copies(parts, facts_of)
    for at, first in enumerate(found.first.tolist()):
        if first != at:
            yield from _duplicate(parts, facts_of, found.where[first], found.where[at])
    like: dict[int, list[int]] = defaultdict(list)
    for one, other in zip(found.one.tolist(), found.other.tolist(), strict=True):
        like[other].append(one)
    for other, ones in like.items():
        yield _near_duplicate(parts, [found.where[one] for one in ones], found.where[other])


def _duplicate(parts: list[Part], facts_of: list[list[ImageFacts]], first: _Where, other: _Where) -> Iterator[Finding]:
    (i, at), (j, there) = first, other
    one, two = parts[i], parts[j]
    same = facts_of[i][at].bytes_hash == facts_of[j][there].bytes_hash
    what = f"{'the same bytes' if same else 'the same pixels'} as {_place(one, at)}"
    code = "identical-within-split" if one.split == two.split else "identical-across-splits"
    yield Finding(code, two.split, two.names[there], what, two.source)
    if one.labels[at] != two.labels[there]:
        reason = f"{what}, of class {one.labels[at]!r} there and {two.labels[there]!r} here"
        yield Finding("identical-other-label", two.split, two.names[there], reason, two.source)


def _near_duplicate(parts: list[Part], ones: list[_Where], other: _Where) -> Finding:
    """One finding an image: beside one of another split if there is such a one, since that is what may leak."""
    j, there = other
    two = parts[j]
    across = [(i, at) for i, at in ones if parts[i].split != two.split]
    i, at = (across or ones)[0]
    code = "alike-across-splits" if across else "alike-within-split"
    more = f" and {len(ones) - 1:,} more" if len(ones) > 1 else ""
    label, there_label = parts[i].labels[at], two.labels[there]
    apart = f", of class {label!r} there and {there_label!r} here" if label != there_label else ""
    return Finding(code, two.split, two.names[there], f"much like {_place(parts[i], at)}{more}{apart}", two.source)


def _place(part: Part, at: int) -> str:
    name = part.names[at]
    return name if part.split == ALL or name.startswith(f"{part.split}/") else f"{name} ({part.split})"
