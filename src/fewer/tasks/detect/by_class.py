"""An evaluation class by class: how many objects there are, and how precisely they are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewer.core.metadata import TableColumn
from fewer.tasks.detect.metrics import per_class


def by_class(tables: Mapping[str, Any], classes: Sequence[str]) -> list[TableColumn]:
    """The columns of a table with a row for each class.

    Args:
        tables: Those of an evaluation, by name.
        classes: Names of the classes.
    """
    rows = per_class(tables)
    return [
        TableColumn("class", [classes[index] for index, *_ in rows], is_number=False),
        TableColumn("objects", [f"{objects:,}" for _, objects, _, _ in rows]),
        TableColumn("AP", [_share(ap) for _, _, ap, _ in rows]),
        TableColumn("AP50", [_share(ap50) for *_, ap50 in rows]),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
