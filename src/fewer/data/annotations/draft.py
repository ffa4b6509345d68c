"""Annotated boxes as a reader gathers them from files: nothing is sorted, turned or left out yet."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fewer.data.annotations.faults import Fault

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass
class Draft:
    """Images with their boxes.

    A format's extra keys, which other formats lack, are kept only where something is to be written from them.

    Attributes:
        keeps: Whether extra keys of images and objects are kept.
        relative: Whether boxes are in shares of the picture's width and height; else in pixels.
        names: Path of each image below the root.
        parts: Split of each, "" for none.
        stated: Width and height of each as its annotations have them; (0, 0) where they do not.
        classes: Names of the classes.
        image, box, label, crowd, difficult, area: Of each object the position of its image in `names`, its four edges
            (left, top, right, bottom), its class, two flags, and its area; an area below 0 is that of its box.
        extra: Extra keys of each object, if they are kept.
        image_extra: Extra keys of each image, if they are kept.
        notes: What the user should know, a sentence each.
        faults: What is wrong.
    """

    keeps: bool = False
    relative: bool = False
    names: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    stated: list[tuple[int, int]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    image: array[int] = field(default_factory=lambda: array("q"))
    box: array[float] = field(default_factory=lambda: array("d"))
    label: array[int] = field(default_factory=lambda: array("q"))
    crowd: array[int] = field(default_factory=lambda: array("b"))
    difficult: array[int] = field(default_factory=lambda: array("b"))
    area: array[float] = field(default_factory=lambda: array("d"))
    extra: list[dict[str, Any]] = field(default_factory=list)
    image_extra: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add_image(
        self, name: str, part: str, stated: tuple[int, int] = (0, 0), extra: Mapping[str, Any] = _NOTHING
    ) -> int:
        """Adds an image, which must not be there yet; gives its position."""
        self.names.append(name)
        self.parts.append(part)
        self.stated.append(stated)
        if self.keeps:
            self.image_extra.append(dict(extra))
        return len(self.names) - 1

    def add_object(
        self,
        image: int,
        box: tuple[float, float, float, float],
        label: int,
        crowd: bool = False,
        difficult: bool = False,
        area: float = -1.0,
        extra: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Adds an object of an image."""
        self.image.append(image)
        self.box.extend(box)
        self.label.append(label)
        self.crowd.append(crowd)
        self.difficult.append(difficult)
        self.area.append(area)
        if self.keeps:
            self.extra.append(dict(extra))

    def fault(self, code: str, path: str, reason: str) -> None:
        """Notes something wrong."""
        self.faults.append(Fault(code, path, reason))


def number(value: object) -> float | None:
    """A finite number, from a number or a text; None for anything else."""
    if type(value) not in (int, float, str):  # bool is neither
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: object) -> int | None:
    """A whole number of at most nine digits, from a number or a text; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) and abs(found) < 1e9 else None


def shown(value: object) -> str:
    """A value of a file in a message, not longer than a phrase."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= 80 else f"{text[:77]}..."
