"""Names of weights: prefixes that wrappers put before them, and blocks of networks of another depth."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
_NUMBERED = re.compile(r"(.*?)(\d+)")


def unwrapped(tensors: Mapping[str, T], ours: Iterable[str]) -> tuple[str, dict[str, T]]:
    """The tensors without what stands before a network's names in a file, such as `model.` or `encoder_q.`.

    Of several prefixes, as where a file holds two copies, it is the one that most of the network's names follow, and
    the first of equal ones: programs write the trained weights before averaged ones.

    Args:
        tensors: Those of the file by name, in its order.
        ours: Names in the network.

    Returns:
        The prefix, "" where there is none; and the tensors whose names begin with it, by the rest of their names.
    """
    wanted = set(ours)
    counts: Counter[str] = Counter({"": 0})
    for name in tensors:
        starts = [0, *(i + 1 for i, letter in enumerate(name) if letter == ".")]
        counts.update(name[:start] for start in starts if name[start:] in wanted)
    prefix = max(counts, key=lambda each: (counts[each], not each))
    return prefix, {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def further_blocks(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Of names, those in a numbered block that stands in a row of which other names know other blocks.

    `layer1.2.conv1.weight` is such a name for a network that has `layer1.0` and `layer1.1`.

    Args:
        names: Names of weights.
        known: Names of the other network.

    Returns:
        Name to its block.
    """
    rows: defaultdict[str, set[str]] = defaultdict(set)
    for name in known:
        for row, number, _ in _numbered(name):
            rows[row].add(number)
    found: dict[str, str] = {}
    for name in names:
        block = next((block for row, number, block in _numbered(name) if row in rows and number not in rows[row]), "")
        if block:
            found[name] = block
    return found


def _numbered(name: str) -> Iterable[tuple[str, str, str]]:
    """Of each part of a name that ends in a number: all that stands before it, the number, and both."""
    parts = name.split(".")
    for i, part in enumerate(parts):
        if match := _NUMBERED.fullmatch(part):
            row = ".".join((*parts[:i], match[1]))
            yield row, match[2], row + match[2]
