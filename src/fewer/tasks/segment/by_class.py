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
    confusion_CC, pixels_C = tables["confusion"], tables["per_class_pixels"]
    total, said_C = max(1, sum(pixels_C)), [sum(column) for column in zip(*confusion_CC, strict=True)]
    right_C = [row[index] for index, row in enumerate(confusion_CC)]
    precision_C = [right / said if said else None for right, said in zip(right_C, said_C, strict=True)]
    return [
        TableColumn("class", list(classes), is_number=False),
        TableColumn("pixels", [_share(pixels / total) for pixels in pixels_C]),
        TableColumn("IoU", list(map(_share, tables["per_class_iou"]))),
        TableColumn("accuracy", list(map(_share, tables["per_class_accuracy"]))),
        TableColumn("precision", list(map(_share, precision_C))),
        TableColumn("taken for", _taken_for(confusion_CC, classes), is_number=False),
    ]


def _taken_for(confusion_CC: Sequence[Sequence[int]], classes: Sequence[str]) -> list[str]:
    """The class that each one is mostly taken for; "" for one that never is."""
    found = []
    for index, row in enumerate(confusion_CC):
        others = [count if other != index else 0 for other, count in enumerate(row)]
        found.append(classes[others.index(max(others))] if any(others) else "")
    return found


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
