"""Duplicates: images of equal pixels, within a split, across splits and across classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from fewer.inspection.findings import Finding
from fewer.inspection.inventory import ALL, Part
from fewer.inspection.probe import ImageFacts


def duplicates(parts: list[Part], facts_of: list[list[ImageFacts]]) -> Iterator[Finding]:
    """Findings of images whose upright RGB pixels are equal, each compared with the first of its group.

    Args:
        parts: The images.
        facts_of: Their facts, part by part.
    """
    groups: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for i, facts in enumerate(facts_of):
        for at, each in enumerate(facts):
            if not each.code:
                groups[each.pixels_hash].append((i, at))
    order = {"train": 0, ALL: 0, "val": 1, "test": 2}
    for group in groups.values():
        first, *others = sorted(group, key=lambda where: order[parts[where[0]].split])
        for other in others:
            yield from _duplicate(parts, facts_of, first, other)


def _duplicate(
    parts: list[Part], facts_of: list[list[ImageFacts]], first: tuple[int, int], other: tuple[int, int]
) -> Iterator[Finding]:
    (i, at), (j, there) = first, other
    one, two = parts[i], parts[j]
    same = facts_of[i][at].bytes_hash == facts_of[j][there].bytes_hash
    what = f"{'the same bytes' if same else 'the same pixels'} as {_place(one, at)}"
    code = "identical-within-split" if one.split == two.split else "identical-across-splits"
    yield Finding(code, two.split, two.names[there], what, two.source)
    if one.labels[at] != two.labels[there]:
        reason = f"{what}, of class {one.labels[at]!r} there and {two.labels[there]!r} here"
        yield Finding("identical-other-label", two.split, two.names[there], reason, two.source)


def _place(part: Part, at: int) -> str:
    name = part.names[at]
    return name if part.split == ALL or name.startswith(f"{part.split}/") else f"{name} ({part.split})"
