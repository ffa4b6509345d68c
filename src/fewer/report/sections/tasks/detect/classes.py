"""Average precision class by class, and precision against recall at IoU 0.5.

C: classes. R: values of recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewer.report import units
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, empty, esc, join, name, section, table, td
from fewer.report.sections.confusion import LABELLED, WORST, meter
from fewer.report.sections.dense import color, color_key, evaluated_split, names_of
from fewer.report.values import dig, number, sequence, whole

CURVES = 12  # drawn at most: of the classes with most objects
_POINTS = 201  # of a curve, at most
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 300, 46, 40, 10, 12  # of the drawing, and room beside it
Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """One class: its number, objects, AP, and AP at IoU 0.5."""

    index: int
    objects: int | None
    ap: float | None
    ap50: float | None


def classes(folder: Folder, story: History) -> Html:
    """The section, or nothing if the run has no table by class."""
    split = evaluated_split(folder, "per_class")
    rows = _rows(dig(folder.result, "tables", f"{split}/per_class"))
    if not rows:
        return Html("")
    names = names_of(folder, len(rows))
    curves = _curves(dig(folder.result, "tables", f"{split}/precision_recall"), rows)
    boxes = (_listing(rows, names), _drawing(curves, names, len(rows)))
    content = Html(f'<div class="two">{join(Html(f"<div>{box}</div>") for box in boxes if box)}</div>')
    lead = f"{len(rows):,} classes on {split}. AP as COCO defines it: a mean over IoU 0.50 to 0.95; AP50: at IoU 0.50."
    return section("Classes", esc(lead), content, "classes")


def _rows(value: object) -> list[Row]:
    objects, ap, ap50 = (sequence(dig(value, key)) for key in ("objects", "ap", "ap50"))
    size = max(len(objects), len(ap), len(ap50))
    columns = [[*column, *[None] * (size - len(column))] for column in (objects, ap, ap50)]
    return [Row(i, whole(a), number(b), number(c)) for i, (a, b, c) in enumerate(zip(*columns, strict=True))]


def _listing(rows: Sequence[Row], names: Sequence[str]) -> Html:
    few = len(rows) <= LABELLED
    shown = rows if few else sorted(rows, key=lambda row: (2.0 if row.ap is None else row.ap, row.index))[:WORST]
    cells = [
        [
            td(join([color_key(row.index), name(names[row.index])])),
            empty() if row.objects is None else td(esc(units.count(row.objects)), row.objects),
            meter(row.ap),
            meter(row.ap50),
        ]
        for row in shown
    ]
    title = "Average precision by class" if few else f"The {len(shown)} classes with the lowest AP"
    head = ["class", "objects", "AP", "AP50"]
    return join([Html(f"<h3>{esc(title)}</h3>"), table(head, cells, title, kind="classes")])


def _curves(value: object, rows: Sequence[Row]) -> dict[int, Curve]:
    """Recall and precision of the classes with most objects, by class."""
    recall_R = sequence(dig(value, "recall"))
    precision_CR = sequence(dig(value, "precision"))
    order = sorted(rows, key=lambda row: (-(row.objects or 0), row.index))
    found: dict[int, Curve] = {}
    for row in order:
        values = sequence(precision_CR[row.index]) if row.index < len(precision_CR) else []
        pairs = [(number(x), number(y)) for x, y in zip(recall_R, values, strict=False)][:_POINTS]
        points = [(x, y) for x, y in pairs if x is not None and y is not None and 0 <= x <= 1 and 0 <= y <= 1]
        if points and len(found) < CURVES:
            found[row.index] = points
    return dict(sorted(found.items()))


def _drawing(curves: dict[int, Curve], names: Sequence[str], total: int) -> Html:
    """The curves in the colours of their classes, with a legend."""
    if not curves:
        return Html("")
    lines = join(_line(curve, index) for index, curve in curves.items())
    label = f"Precision against recall at IoU 0.5 of {len(curves)} classes"
    legend = join(Html(f"<li>{color_key(index)}{name(names[index], 30)}</li>") for index in curves)
    rest = f'<p class="note">The {len(curves)} of {total:,} classes with most objects.</p>'
    note = Html(rest if total > len(curves) else "")
    return Html(
        f'<h3>Precision against recall, IoU 0.5</h3><figure><svg class="plot" role="img" aria-label="{esc(label)}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{esc(label)}</title>{_axes()}{lines}</svg></figure>'
        f'<ul class="legend curves">{legend}</ul>{note}'
    )


def _axes() -> Html:
    parts = []
    for step in range(6):
        share = step / 5
        x, y = _place(share, share)
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" style="stroke:var(--grid);stroke-width:1"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" style="fill:var(--ink2);font-size:12px;text-anchor:end">'
            f"{100 * share:.0f}</text>"
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 17}" '
            f'style="fill:var(--ink2);font-size:12px;text-anchor:middle">{100 * share:.0f}</text>'
        )
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    style = "fill:var(--ink2);font-size:12px;text-anchor:middle"
    parts.append(f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 6}" style="{style}">recall, %</text>')
    parts.append(f'<text transform="translate(13 {middle:.0f}) rotate(-90)" style="{style}">precision, %</text>')
    return Html("".join(parts))


def _line(curve: Curve, index: int) -> Html:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(*point) for point in curve))
    return Html(f'<polyline points="{points}" style="fill:none;stroke:{color(index)};stroke-width:2"/>')


def _place(x: float, y: float) -> tuple[float, float]:
    """Pixels of the drawing for shares in [0, 1]."""
    return _LEFT + x * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - y * (_HEIGHT - _BOTTOM - _TOP)
