"""The confusion of classes: a matrix in a form that fits their number, and the most frequent mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fewer.report import units
from fewer.report.markup import Html, details, empty, esc, join, name, table, td
from fewer.report.plots import heat_image
from fewer.report.values import number, sequence

LABELLED = 30  # classes up to which the matrix is a table with names and numbers
DRAWN = 100  # classes up to which it is an image; beyond, only the worst are listed
WORST = 20
Matrix = Sequence[Sequence[float]]
Counted = Literal["images", "pixels"]


def matrix_of(value: object) -> Matrix:
    """The counts, rows true classes, if they form a square; else none."""
    rows = [[number(entry) or 0.0 for entry in sequence(row)] for row in sequence(value)]
    return rows if all(len(row) == len(rows) for row in rows) else []


def picture(matrix: Matrix, names: Sequence[str], counted: Counted) -> Html:
    """The matrix with names and numbers, or as an image; nothing of too many classes."""
    if not matrix or len(matrix) > DRAWN:
        return Html("")
    if len(matrix) > LABELLED:
        label = f"Confusion matrix of {len(matrix)} classes; the most confused pairs are listed below"
        note = '<p class="note">One row a true class, in the order of classes; blue is right, orange wrong.</p>'
        return Html(f"<h3>Confusion matrix</h3>{heat_image(_shares(matrix), label)}{note}")
    unit = "images" if counted == "images" else "% of a class's pixels"
    return Html(f"<h3>Confusion matrix, {esc(unit)}</h3>{_cells(matrix, names, counted)}")


def pairs(matrix: Matrix, names: Sequence[str], counted: Counted) -> Html:
    """The most frequent mistakes."""
    found = [(value, i, j) for i, row in enumerate(matrix) for j, value in enumerate(row) if i != j and value > 0]
    if not found:
        return Html("")
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    total = sum(map(sum, matrix))
    rows = [
        [td(name(names[i])), td(name(names[j])), td(esc(_amount(value, total, counted)), value)]
        for value, i, j in found[:WORST]
    ]
    head = ["true class", "taken for", "images" if counted == "images" else "of all pixels"]
    shown = table(head, rows, "Most confused pairs", left=2)
    if len(matrix) <= LABELLED:
        return details("Most confused pairs", shown)
    return join([Html("<h3>Most confused pairs</h3>"), shown])


def meter(share: float | None) -> Html:
    """A cell with a share and a bar behind it."""
    if share is None:
        return empty()
    width = min(max(share, 0.0), 1.0)
    return Html(
        f'<td class="n meter" title="{esc(share)}"><span style="--w:{width:.3f}"></span>'
        f"<b>{esc(units.share(share))}</b></td>"
    )


def _amount(value: float, total: float, counted: Counted) -> str:
    if counted == "images":
        return units.plain(value)
    share = 100 * value / total
    return f"{share:.2f}{units.NBSP}%" if share >= 0.005 else f"< 0.01{units.NBSP}%"


def _shares(matrix: Matrix) -> Matrix:
    return [[value / total if (total := sum(row)) else 0.0 for value in row] for row in matrix]


def _cells(matrix: Matrix, names: Sequence[str], counted: Counted) -> Html:
    shares = _shares(matrix)
    head = "".join(f'<th scope="col">{name(text, 14)}</th>' for text in names)
    body = "\n".join(
        f'<tr><th scope="row">{name(names[i], 24)}</th>'
        + "".join(_square(i == j, value, shares[i][j], counted) for j, value in enumerate(row))
        + "</tr>"
        for i, row in enumerate(matrix)
    )
    return Html(
        '<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix"><table class="confusion">'
        "<caption>Confusion matrix: rows are true classes, columns are predictions</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _square(right: bool, value: float, share: float, counted: Counted) -> str:
    if not value:
        return '<td class="zero">·</td>'
    opacity = min(max(share, 0.0), 1.0) ** 0.5  # the root: rare mistakes must not look like none
    kind = "right" if right else "wrong"
    shown = units.plain(value) if counted == "images" else f"{100 * share:.1f}" if share >= 0.0005 else "< 0.1"
    return (
        f'<td class="{kind}" style="--a:{opacity:.2f}" title="{esc(units.share(share))} of the class">{esc(shown)}</td>'
    )
