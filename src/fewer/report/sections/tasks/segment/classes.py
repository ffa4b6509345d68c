"""IoU, accuracy and pixels class by class, and the confusion matrix of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fewer.report import units
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, details, empty, esc, join, name, section, table, td
from fewer.report.sections.confusion import LABELLED, WORST, Matrix, matrix_of, meter, pairs, picture
from fewer.report.sections.dense import color_key, evaluated_split, names_of
from fewer.report.values import dig, mapping, number, sequence

_DEFINITIONS = 12


def classes(folder: Folder, story: History) -> Html:
    """The section, or nothing if the run has no table by class."""
    split = evaluated_split(folder, "confusion")
    matrix = matrix_of(dig(folder.result, "tables", f"{split}/confusion"))
    if not matrix:
        return Html("")
    names = names_of(folder, len(matrix))
    tables = mapping(folder.result.get("tables"))
    listing = join([_listing(matrix, names, tables, split), _definitions(tables, split)])
    boxes = (listing, join([picture(matrix, names, "pixels"), pairs(matrix, names, "pixels")]))
    content = Html(f'<div class="stack">{join(Html(f"<div>{box}</div>") for box in boxes if box)}</div>')
    lead = f"{len(matrix):,} classes on {split}, by pixels of the pictures at their own sizes; void does not count."
    return section("Classes", esc(lead), content, "classes")


def _listing(matrix: Matrix, names: Sequence[str], tables: Mapping[str, object], split: str) -> Html:
    size = len(matrix)
    iou, accuracy = (_column(tables, f"{split}/per_class_{key}", size) for key in ("iou", "accuracy"))
    pixels = [sum(row) for row in matrix]
    total = sum(pixels) or 1.0
    order = range(size) if size <= LABELLED else sorted(range(size), key=lambda i: (_last(iou[i]), i))[:WORST]
    rows = [
        [
            td(join([color_key(i), name(names[i])])),
            meter(iou[i]),
            meter(accuracy[i]),
            td(esc(units.share(pixels[i] / total)), pixels[i]),
            _taken(matrix[i], i, names),
        ]
        for i in order
    ]
    few = size <= LABELLED
    title = "IoU and accuracy by class" if few else f"The {len(rows)} classes with the lowest IoU"
    head = ["class", "IoU", "accuracy", "of all pixels", "mostly taken for"]
    return join([Html(f"<h3>{esc(title)}</h3>"), table(head, rows, title, kind="classes")])


def _last(value: float | None) -> float:
    return 2.0 if value is None else value


def _column(tables: Mapping[str, object], key: str, size: int) -> list[float | None]:
    found = [number(value) for value in sequence(tables.get(key))][:size]
    return found + [None] * (size - len(found))


def _taken(row: Sequence[float], i: int, names: Sequence[str]) -> Html:
    other = max((j for j in range(len(row)) if j != i and row[j] > 0), key=lambda j: row[j], default=None)
    if other is None:
        return empty()
    return Html(f'<td class="n">{name(names[other])} ({esc(units.share(row[other] / sum(row)))})</td>')


def _definitions(tables: Mapping[str, object], split: str) -> Html:
    """What the metrics mean, as the evaluation states it."""
    stated = list(mapping(tables.get(f"{split}/definitions")).items())[:_DEFINITIONS]
    rows = [[td(esc(key, 60)), td(esc(text, 300))] for key, text in stated if isinstance(text, str)]
    return details("Definitions", table(["", ""], rows, "Definitions", left=2)) if rows else Html("")
