"""Accuracy class by class and the confusion matrix, in a form that fits their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewer.report import units
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, details, empty, esc, join, name, section, table, td
from fewer.report.plots import heat_image
from fewer.report.sections.tasks.classify.shots import by_shots, trained_on
from fewer.report.sections.tasks.classify.worst import verdict
from fewer.report.values import dig, mapping, number, sequence

LABELLED = 30  # classes up to which the matrix is a table with names and numbers
DRAWN = 100  # classes up to which it is an image; beyond, only the worst are listed
WORST = 20
HARDEST = 50  # images named
BESIDE = 12  # classes, and characters of their names, up to which table and matrix stand side by side
Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Verdict:
    """How one class fared on test."""

    index: int
    images: float | None
    accuracy: float | None
    taken_for: int | None
    taken_share: float
    kept: float | None
    trained: float | None


def classes(folder: Folder, story: History) -> Html:
    """The section, or nothing if the run has no table by class."""
    matrix = _matrix(dig(folder.result, "tables", "test/confusion"))
    accuracy = [number(value) for value in sequence(dig(folder.result, "tables", "test/per_class_accuracy"))]
    kept = _kept(story)
    size = max(len(matrix), len(accuracy), len(kept))
    if not size:
        return Html("")
    names = _names(folder, size)
    trained = trained_on(folder)
    verdicts = [_verdict(i, matrix, accuracy, kept, trained) for i in range(size)]
    left = join([_picture(matrix, names), _pairs(matrix, names), _hardest(folder)])
    boxes = (left, join([by_shots(folder, [v.accuracy for v in verdicts], names), _listing(verdicts, names)]))
    narrow = size <= BESIDE and all(len(name) <= BESIDE for name in names)
    layout = "two" if narrow else "stack"
    content = Html(f'<div class="{layout}">{join(Html(f"<div>{box}</div>") for box in boxes if box)}</div>')
    lead = f"{size:,} classes on test. Row: the true class; column: the prediction."
    return section("Classes", esc(lead if matrix else f"{size:,} classes."), content, "classes")


def _names(folder: Folder, size: int) -> list[str]:
    given = [str(value) for value in sequence(folder.plan.get("classes"))[:size]]
    return given + [str(i) for i in range(len(given), size)]


def _matrix(value: object) -> Matrix:
    """The counts, if they form a square."""
    rows = [[number(entry) or 0.0 for entry in sequence(row)] for row in sequence(value)]
    return rows if all(len(row) == len(rows) for row in rows) else []


def _kept(story: History) -> list[float | None]:
    """Mean share of each class that selection kept, over the epochs that tell."""
    recorded = [sequence(dig(mark.row, "series", "kept_share_per_class")) for mark in story.epochs]
    recorded = [series for series in recorded if series]
    if not recorded or not story.selected():
        return []
    width = len(recorded[-1])
    sums, counts = [0.0] * width, [0] * width
    for series in recorded:
        for i, value in enumerate(map(number, series[:width])):
            if value is not None:
                sums[i] += value
                counts[i] += 1
    return [total / seen if seen else None for total, seen in zip(sums, counts, strict=True)]


def _verdict(
    i: int,
    matrix: Matrix,
    accuracy: Sequence[float | None],
    kept: Sequence[float | None],
    trained: Sequence[int],
) -> Verdict:
    row = matrix[i] if i < len(matrix) else []
    images = sum(row) if row else None
    right = accuracy[i] if i < len(accuracy) else None
    if right is None and images:
        right = row[i] / images
    other = max((j for j in range(len(row)) if j != i and row[j] > 0), key=lambda j: row[j], default=None)
    taken = row[other] / images if other is not None and images else 0.0
    kept_share, images_in_training = (values[i] if i < len(values) else None for values in (kept, trained))
    return Verdict(i, images, right, other, taken, kept_share, images_in_training)


def _picture(matrix: Matrix, names: Sequence[str]) -> Html:
    if not matrix or len(matrix) > DRAWN:
        return Html("")
    if len(matrix) > LABELLED:
        label = f"Confusion matrix of {len(matrix)} classes; the most confused pairs are listed below"
        note = '<p class="note">One row a true class, in the order of classes; blue is right, orange wrong.</p>'
        return Html(f"<h3>Confusion matrix</h3>{heat_image(_shares(matrix), label)}{note}")
    return Html(f"<h3>Confusion matrix, images</h3>{_cells(matrix, names)}")


def _shares(matrix: Matrix) -> Matrix:
    return [[value / total if (total := sum(row)) else 0.0 for value in row] for row in matrix]


def _cells(matrix: Matrix, names: Sequence[str]) -> Html:
    shares = _shares(matrix)
    head = "".join(f'<th scope="col">{name(text, 14)}</th>' for text in names)
    body = "\n".join(
        f'<tr><th scope="row">{name(names[i], 24)}</th>'
        + "".join(_square(i == j, value, shares[i][j]) for j, value in enumerate(row))
        + "</tr>"
        for i, row in enumerate(matrix)
    )
    return Html(
        '<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix"><table class="confusion">'
        "<caption>Confusion matrix: rows are true classes, columns are predictions</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _square(right: bool, value: float, share: float) -> str:
    if not value:
        return '<td class="zero">·</td>'
    opacity = min(max(share, 0.0), 1.0) ** 0.5  # the root: rare mistakes must not look like none
    kind = "right" if right else "wrong"
    return (
        f'<td class="{kind}" style="--a:{opacity:.2f}" title="{esc(units.share(share))} of the class">'
        f"{esc(units.plain(value))}</td>"
    )


def _pairs(matrix: Matrix, names: Sequence[str]) -> Html:
    """The most frequent mistakes."""
    pairs = [(value, i, j) for i, row in enumerate(matrix) for j, value in enumerate(row) if i != j and value > 0]
    if not pairs:
        return Html("")
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    rows = [
        [td(name(names[i])), td(name(names[j])), td(esc(units.plain(value)), value)] for value, i, j in pairs[:WORST]
    ]
    shown = table(["true class", "taken for", "images"], rows, "Most confused pairs", left=2)
    if len(matrix) <= LABELLED:
        return details("Most confused pairs", shown)
    return join([Html("<h3>Most confused pairs</h3>"), shown])


def _hardest(folder: Folder) -> Html:
    """The images that the model was most wrong about, by their names."""
    files = sequence(dig(folder.result, "tables", "test/worst"))[:HARDEST]
    if not files:
        return Html("")
    samples = map(mapping, sequence(dig(folder.result, "tables", "test/worst_samples"))[:HARDEST])
    verdicts = [Html(f": {verdict(folder, sample)[1]}" if "predicted" in sample else "") for sample in samples]
    verdicts += [Html("")] * (len(files) - len(verdicts))
    items = join(Html(f"<li>{name(file, 160)}{text}</li>") for file, text in zip(files, verdicts, strict=False))
    return details("Hardest test images, the worst first", Html(f'<ol class="notes files">{items}</ol>'))


def _listing(verdicts: Sequence[Verdict], names: Sequence[str]) -> Html:
    worst = sorted(verdicts, key=lambda v: (v.accuracy if v.accuracy is not None else 2.0, v.index))
    few = len(verdicts) <= LABELLED
    shown = verdicts if few else worst[:WORST]
    with_images = any(v.images is not None for v in shown)
    with_kept = any(v.kept is not None for v in shown)
    with_trained = any(v.trained is not None for v in shown)
    head = ["class", "accuracy", *(["images", "mostly taken for"] if with_images else [])]
    head += ["training images"] if with_trained else []
    head += ["mean kept share"] if with_kept else []
    rows = [_line(v, names, with_images, with_trained, with_kept) for v in shown]
    title = "Accuracy by class" if few else f"The {len(shown)} classes with the lowest accuracy"
    return join([Html(f"<h3>{esc(title)}</h3>"), table(head, rows, title, kind="classes")])


def _line(verdict: Verdict, names: Sequence[str], with_images: bool, with_trained: bool, with_kept: bool) -> list[Html]:
    cells = [td(name(names[verdict.index])), _meter(verdict.accuracy)]
    if with_images:
        cells.append(empty() if verdict.images is None else td(esc(units.count(verdict.images)), verdict.images))
        other = verdict.taken_for
        text = None if other is None else f"{name(names[other])} ({esc(units.share(verdict.taken_share))})"
        cells.append(empty() if text is None else Html(f'<td class="n">{text}</td>'))
    if with_trained:
        cells.append(empty() if verdict.trained is None else td(esc(units.count(verdict.trained)), verdict.trained))
    if with_kept:
        cells.append(_meter(verdict.kept))
    return cells


def _meter(share: float | None) -> Html:
    """A share with a bar behind it."""
    if share is None:
        return empty()
    width = min(max(share, 0.0), 1.0)
    return Html(
        f'<td class="n meter" title="{esc(share)}"><span style="--w:{width:.3f}"></span>'
        f"<b>{esc(units.share(share))}</b></td>"
    )
