"""The meaning of texts as classes: their names, or their positions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fewer.data.sources import Source

_WHOLE = re.compile(r"\+?0*(\d+)(?:\.0*)?")  # pandas writes a column of numbers with a gap as 3.0
_SHOWN = 3


@dataclass(frozen=True)
class Meaning:
    """What labels stand for.

    Attributes:
        index: The class of each label that stands for one, an index into the source's classes.
        words: What to call that in messages.
    """

    index: dict[str, int]
    words: str


def meaning_of(labels: Iterable[str], source: Source, known: Sequence[str], numbers: str) -> Meaning:
    """What labels of a file stand for.

    They are names of classes if all are; else, if all are whole numbers, names of classes that are numbers too, written
    in another way (`1` or `1.0` for `01`). Positions in the source's order of classes they are where that is asked for,
    or where the data set itself numbers its classes, as CIFAR's files do: the order of class folders is that of their
    names as text, in which 10 comes before 2, and nobody's numbering.

    Args:
        labels: As the file has them.
        source: Its classes, and whether it numbers them.
        known: Names of the classes that may occur.
        numbers: "names" or "positions": what numbers are.
    """
    seen = set(labels)
    place = {name: i for i, name in enumerate(source.classes)}
    order = {place[name]: place[name] for name in known}
    positions = Meaning(_by_number(seen, order), f"positions of classes ({_listed(source.classes)})")
    if numbers == "positions":
        return positions
    names = {unicodedata.normalize("NFC", name): place[name] for name in known}
    by_name = {label: names[key] for label in seen if (key := unicodedata.normalize("NFC", label)) in names}
    numbered = {number: place[name] for name in known if (number := _whole(name)) is not None}
    by_value = _by_number(seen, numbered) if len(numbered) == len(known) else {}
    if len(by_name) < len(seen) and len(by_value) == len(seen):
        return Meaning(by_value, "names of classes, by the value of the numbers")
    if len(by_name) < len(seen) and source.numbers_classes and len(positions.index) == len(seen):
        return positions
    return Meaning(by_name, "names of classes")


def _by_number(labels: Iterable[str], class_of: dict[int, int]) -> dict[str, int]:
    return {label: class_of[number] for label in labels if (number := _whole(label)) in class_of and number is not None}


def _whole(text: str) -> int | None:
    """The number that a text states, if it is a whole one of at most 9 digits."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found and len(found[1]) < 10 else None


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(f"{i} = {name}" for i, name in enumerate(classes[:_SHOWN]))
    return f"{shown}, ..." if len(classes) > _SHOWN else shown
