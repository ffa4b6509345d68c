"""Looks of curves, by their roles, and the pieces of them that a legend shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fewer.report.charts import Role
from fewer.report.markup import Html


@dataclass(frozen=True)
class Style:
    """The look of a curve, distinct from the others by colour, dash and marker, so that colour alone never matters."""

    variable: str
    dash: Literal["solid", "dashed", "dotted", "dashdot", "none"]
    marker: str
    width: float = 1.6


STYLES: dict[Role, Style] = {
    "train": Style("s1", "solid", "o"),
    "steps": Style("s1", "solid", "", 0.6),
    "val": Style("s2", "dashed", "s"),
    "test": Style("s3", "dotted", "D"),
    "other": Style("s4", "solid", "o"),
    "class": Style("s1", "solid", "", 0.8),
    "plain": Style("s1", "solid", "o"),
    "random": Style("s2", "dashed", "s"),
    "variant": Style("s3", "none", "D"),
    "complete": Style("s1", "solid", "o", 0.9),
    "pruned": Style("s2", "dashed", "s", 0.9),
}


def swatch(role: Role) -> Html:
    """A short piece of a curve, for the legend."""
    style = STYLES[role]
    dashes = {"dashed": ' stroke-dasharray="6 3"', "dotted": ' stroke-dasharray="2 2.5"'}.get(style.dash, "")
    shapes = {
        "o": '<circle cx="14" cy="6" r="3"/>', "s": '<rect x="11" y="3" width="6" height="6"/>',
        "D": '<path d="M14 2l4 4-4 4-4-4z"/>',
    }  # fmt: skip
    stroke = "" if style.dash == "none" else f'<path d="M0 6h28" fill="none" stroke-width="{style.width}"{dashes}/>'
    return Html(
        f'<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true" style="fill:var(--{style.variable});'
        f'stroke:var(--{style.variable})">{stroke}'
        f"{shapes.get(style.marker, '')}</svg>"
    )
