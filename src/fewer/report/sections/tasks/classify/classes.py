"""Accuracy class by class and the confusion matrix, in a form that fits their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewer.report import units
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, details, empty, esc, join, name, section, table, td
from fewer.report.sections.confusion import LABELLED, WORST, Matrix, matrix_of, meter, pairs, picture
from fewer.report.sections.tasks.classify.shots import by_shots, trained_on
from fewer.report.sections.tasks.classify.worst import verdict
from fewer.report.values import dig, mapping, number, sequence

HARDEST = 50  # images named
BESIDE = 12  # classes, and characters of their names, up to which table and matrix stand side by side


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
    matrix = matrix_of(dig(folder.result, "tables", "test/confusion"))
    accuracy = [number(value) for value in sequence(dig(folder.result, "tables", "test/per_class_accuracy"))]
    kept = _kept(story)
    size = max(len(matrix), len(accuracy), len(kept))
    if not size:
        return Html("")
    names = _names(folder, size)
    trained = trained_on(folder)
    verdicts = [_verdict(i, matrix, accuracy, kept, trained) for i in range(size)]
    left = join([picture(matrix, names, "images"), pairs(matrix, names, "images"), _hardest(folder)])
    boxes = (left, join([by_shots(folder, [v.accuracy for v in verdicts], names), _listing(verdicts, names)]))
    narrow = size <= BESIDE and all(len(name) <= BESIDE for name in names)
    layout = "two" if narrow else "stack"
    content = Html(f'<div class="{layout}">{join(Html(f"<div>{box}</div>") for box in boxes if box)}</div>')
    lead = f"{size:,} classes on test. Row: the true class; column: the prediction."
    return section("Classes", esc(lead if matrix else f"{size:,} classes."), content, "classes")


def _names(folder: Folder, size: int) -> list[str]:
    given = [str(value) for value in sequence(folder.plan.get("classes"))[:size]]
    return given + [str(i) for i in range(len(given), size)]


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
    cells = [td(name(names[verdict.index])), meter(verdict.accuracy)]
    if with_images:
        cells.append(empty() if verdict.images is None else td(esc(units.count(verdict.images)), verdict.images))
        other = verdict.taken_for
        text = None if other is None else f"{name(names[other])} ({esc(units.share(verdict.taken_share))})"
        cells.append(empty() if text is None else Html(f'<td class="n">{text}</td>'))
    if with_trained:
        cells.append(empty() if verdict.trained is None else td(esc(units.count(verdict.trained)), verdict.trained))
    if with_kept:
        cells.append(meter(verdict.kept))
    return cells
