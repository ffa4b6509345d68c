"""Class names of masks, by the files that tools write beside them, or by the ids that masks hold.

Void is id 255, and every class whose name says so, wherever it stands in the list: it is no class, and the ids behind
it move down.
"""

from __future__ import annotations

import contextlib
import csv
import io
import posixpath
import re
from collections.abc import Sequence

import numpy as np

from fewer.core.drawing.palette import MASK_CLASSES_MAX
from fewer.core.errors import DataError
from fewer.data.annotations.draft import shown, whole
from fewer.data.annotations.mask_values import VOID, Table, stored
from fewer.data.annotations.tree import Tree
from fewer.data.decode.decode import Damaged

_VOID_NAMES = frozenset(("unlabelled", "unlabeled", "void", "ignore", "ignored", "unannotated", "dontcare"))
_TABLES = ("class_dict.csv", "labelmap.txt", "_classes.csv", "colors.csv", "colours.csv")
_SAMPLE = 16

Row = tuple[str, int, int | None]  # name, stored value, colour


def table_of(tree: Tree, name: str, masks: Sequence[str], ignore_index: int | None, notes: list[str]) -> Table:
    """What values stand for: by a file of names, else by the ids that are found."""
    rows, from_file = _rows(tree, name)
    if not rows:
        rows = [(str(value), value, None) for value in _found_ids(tree, name, masks)]
        notes.append("there are no class names (classes.txt): ids are taken")
    value = np.full(256, -1, np.int64)
    colour: dict[int, int] = {}
    names: list[str] = []
    value[VOID] = VOID
    for text, stored_value, code in rows:
        is_void = stored_value == ignore_index or (
            ignore_index is None and re.sub(r"[\W_]", "", text.lower()) in _VOID_NAMES
        )
        if not is_void:
            if text in names:
                raise DataError(f"{name}: {from_file}: class {shown(text)} occurs twice; fix: give each name once")
            names.append(text)
        label = VOID if is_void else len(names) - 1
        if stored_value < VOID:
            value[stored_value] = label
        if code is not None:
            colour[code] = label
    if not 1 <= len(names) <= MASK_CLASSES_MAX:
        raise DataError(
            f"{name}: {from_file} names {len(names):,} classes; allowed: 1 to {MASK_CLASSES_MAX}; fix: merge some"
        )
    if ignore_index is not None and 0 <= ignore_index < VOID:
        value[ignore_index] = VOID
    void = [text for text, stored_value, _ in rows if stored_value < VOID and value[stored_value] == VOID]
    if void:
        notes.append(f"{', '.join(map(repr, void))} is void: no class, and left out of loss and metrics")
    beyond = next((text for text, at, code in rows if at >= VOID and text in names and code is None), None)
    if beyond is not None and len(names) > 2:
        raise DataError(
            f"{name}: {from_file}: class {shown(beyond)} stands for a value above {VOID - 1}, and {VOID} is void; "
            f"allowed: 0 to {VOID - 1}; fix: export masks with smaller ids"
        )
    table = Table(names, value, colour)
    if len(names) == 2 and not colour and ignore_index != VOID:
        _read_white_as_one(tree, masks, table, notes)
    return table


def _rows(tree: Tree, name: str) -> tuple[list[Row], str]:
    """Name, stored value and colour of every class, by the first file there is; and that file."""
    for file in ("classes.txt", *_TABLES):
        path = next((path for path in sorted(tree.files, key=len) if posixpath.basename(path) == file), "")
        if not path:
            continue
        text = tree.text(path)
        if file == "classes.txt":
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            rows: list[Row] = [(line, value, None) for value, line in enumerate(lines)]
        elif file == "labelmap.txt":
            parts = [line.split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]
            rows = [(each[0].strip(), at, _code("".join(each[1:2]).split(","))) for at, each in enumerate(parts)]
        else:
            rows = _of_csv(text, f"{name}: {path}")
        if not rows:
            raise DataError(f"{name}: {path} names no classes; allowed: a line each; fix: write them")
        return rows, path
    return [], ""


def _of_csv(text: str, where: str) -> list[Row]:
    table = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    header = [cell.lower() for cell in table[0]] if table else []
    columns = {key: at for at, key in enumerate(header)}
    if {"pixel value", "class"} <= {*columns}:
        wanted = ["class", "pixel value"]
    elif {"name", "r", "g", "b"} <= {*columns}:
        wanted = ["name", "r", "g", "b"]
    else:
        raise DataError(
            f"{where}: columns {', '.join(header) or 'none'}; allowed: name, r, g, b, or Pixel Value, Class; fix: name "
            "the columns so"
        )
    rows: list[Row] = []
    for at, row in enumerate(table[1:]):
        cells = [row[columns[key]] if columns[key] < len(row) else "" for key in wanted]
        value = whole(cells[1]) if len(wanted) == 2 else at
        code = _code(cells[1:]) if len(wanted) == 4 else None
        if value is None or not 0 <= value <= VOID or (len(wanted) == 4 and code is None) or not cells[0]:
            raise DataError(f"{where}: row {at + 2}: {shown(row)}; allowed: a name, and values of 0 to 255")
        rows.append((cells[0], value, code))
    return rows


def _code(cells: list[str]) -> int | None:
    """A colour as one number."""
    values = [whole(cell) for cell in cells]
    if len(values) != 3 or any(value is None or not 0 <= value <= 255 for value in values):
        return None
    red, green, blue = (value or 0 for value in values)
    return red << 16 | green << 8 | blue


def _found_ids(tree: Tree, name: str, masks: Sequence[str]) -> range:
    """All ids up to the largest in any mask."""
    most = 0
    for mask in masks:
        try:
            values, _ = stored(f"{tree.root}/{mask}")
        except (Damaged, OSError):
            continue
        if values.ndim == 3:
            raise DataError(
                f"{name}: {mask} is of colours, and nothing says what they stand for; allowed: a file class_dict.csv "
                "with the columns name, r, g, b; fix: write that file"
            )
        below = values[values != VOID]
        most = max(most, int(below.max(initial=0)))
        if most > VOID:
            raise DataError(f"{name}: {mask}: id {most}; allowed: 0 to {VOID - 1}; fix: export ids of classes")
    return range(max(most, 1) + 1)


def _read_white_as_one(tree: Tree, masks: Sequence[str], table: Table, notes: list[str]) -> None:
    """Takes 255 for the second of two classes where masks have nothing but 0 and 255: first some, then all are read."""
    some = masks[:: max(1, len(masks) // _SAMPLE)]
    if all(VOID in (seen := _seen(tree, asked)) and seen <= {0, VOID} for asked in (some, masks)):
        table.value[VOID] = 1
        notes.append(f"masks of two classes hold 0 and {VOID} only: {VOID} is {table.names[1]!r}, not void")


def _seen(tree: Tree, masks: Sequence[str]) -> set[int]:
    """Values that occur in masks; of the first mask with others than 0 and 255, no further one is read."""
    seen: set[int] = set()
    for mask in masks:
        with contextlib.suppress(Damaged, OSError):
            seen |= {*np.unique(stored(f"{tree.root}/{mask}")[0]).tolist()}
        if not seen <= {0, VOID}:
            break
    return seen
