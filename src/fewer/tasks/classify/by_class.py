"""An evaluation class by class, from the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewer.core.metadata import TableColumn


def by_class(tables: Mapping[str, Any], classes: Sequence[str]) -> list[TableColumn]:
    """The columns of a table with a row for each class.

    Args:
        tables: Those of an evaluation, by name.
        classes: Names of the classes.
    """
    rows = per_class(tables["confusion"])
    taken_for = ["" if row["taken_for"] is None else classes[row["taken_for"]] for row in rows]
    shares = {title: [_share(row[title.lower()]) for row in rows] for title in ("accuracy", "precision", "F1")}
    return [
        TableColumn("class", [classes[row["class"]] for row in rows], is_number=False),
        TableColumn("images", [f"{row['images']:,}" for row in rows]),
        *(TableColumn(title, cells) for title, cells in shares.items()),
        TableColumn("taken for", taken_for, is_number=False),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def per_class(confusion_CC: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Images, accuracy, precision and F1 of each class, and the class that it is mostly taken for."""
    said_C = [sum(column) for column in zip(*confusion_CC, strict=True)]
    rows = []
    for index, row in enumerate(confusion_CC):
        images, right = sum(row), row[index]
        others = [count if other != index else 0 for other, count in enumerate(row)]
        rows.append(
            {
                "class": index,
                "images": images,
                "accuracy": right / images if images else None,
                "precision": right / said_C[index] if said_C[index] else None,
                "f1": 2 * right / (images + said_C[index]) if images else None,
                "taken_for": others.index(max(others)) if any(others) else None,
            }
        )
    return rows
