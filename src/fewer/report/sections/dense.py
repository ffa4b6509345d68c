"""Pieces of the sections on boxes and masks: names and colours of classes, and which evaluation is told."""

from __future__ import annotations

from fewer.core.drawing.palette import color_of
from fewer.report.load import Folder
from fewer.report.markup import Html
from fewer.report.values import mapping, sequence


def evaluated_split(folder: Folder, table: str) -> str:
    """The split whose table is told: test, or validation where that is all there is."""
    tables = mapping(folder.result.get("tables"))
    return "val" if f"test/{table}" not in tables and f"val/{table}" in tables else "test"


def names_of(folder: Folder, size: int) -> list[str]:
    """Names of the classes; numbers where the plan has none."""
    given = [str(value) for value in sequence(folder.plan.get("classes"))[:size]]
    return given + [str(i) for i in range(len(given), size)]


def color(number: int) -> str:
    """The colour of a class in pictures, as CSS writes it."""
    red, green, blue = color_of(number)
    return f"#{red:02x}{green:02x}{blue:02x}"


def color_key(number: int) -> Html:
    """A patch in the colour that a class has in pictures."""
    return Html(f'<span class="chip" style="background:{color(number)}" aria-hidden="true"></span>')
