"""Accuracy by how many training images a class has, where classes differ much in that."""

from __future__ import annotations

from collections.abc import Sequence

from fewer.report import units
from fewer.report.load import Folder
from fewer.report.markup import Html, empty, esc, join, name, table, td
from fewer.report.values import sequence, whole
from fewer.tasks.classify import shots

_SHOWN = 3  # names of classes in a row


def by_shots(folder: Folder, accuracy: Sequence[float | None], names: Sequence[str]) -> Html:
    """A row for each group of classes that there is, or nothing.

    Args:
        folder: Its plan says how many training images every class has.
        accuracy: Of every class on test.
        names: Of every class.
    """
    counts = trained_on(folder)
    if len(counts) != len(names):
        return Html("")
    title = "Accuracy by training images of the class"
    rows = [_row(group, classes, counts, accuracy, names) for group, classes in shots.groups(counts).items()]
    head = ["training images", "classes", "images in all", "accuracy"]
    return join([Html(f"<h3>{esc(title)}</h3>"), table(head, rows, title, kind="classes")])


def trained_on(folder: Folder) -> Sequence[int]:
    """Training images of every class, where they differ much; else nothing."""
    given = [whole(value) for value in sequence(folder.plan.get("train_images_per_class"))]
    counts = [value for value in given if value is not None and value >= 0]
    return counts if len(counts) == len(given) and shots.is_imbalanced(counts) else []


def _row(
    group: str, classes: Sequence[int], counts: Sequence[int], accuracy: Sequence[float | None], names: Sequence[str]
) -> list[Html]:
    few = join((name(names[index], 24) for index in classes[:_SHOWN]), ", ")
    listed = Html(f"{few}{esc(f' and {len(classes) - _SHOWN:,} more' if len(classes) > _SHOWN else '')}")
    total = sum(counts[index] for index in classes)
    known = [value for index in classes if (value := accuracy[index]) is not None]
    mean = sum(known) / len(known) if known else None
    return [
        td(esc(f"{group}: {shots.RANGES[group]}")),
        Html(f'<td class="n">{listed}</td>'),
        td(esc(units.count(total)), total),
        empty() if mean is None else td(esc(units.share(mean)), mean),
    ]
