"""CSV files of labels as programs write them: their encodings, separators and headers."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from fewer.core.errors import DataError
from fewer.core.text import decoded
from fewer.data.decode.formats import is_image

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_columns(path: str, key: str, column: str, setting: str = "") -> tuple[list[str], list[str]]:
    """Two columns of a CSV with a header line, without blanks around their values.

    Columns are separated by whichever of commas, semicolons, tabs and bars gives both. Text is UTF-8, or UTF-16 with
    its mark.

    Args:
        path: The file.
        key: A column's name.
        column: Another one's name.
        setting: What names file and column, for messages; the keys of `data.labels` if left out.

    Raises:
        DataError: The file cannot be read, is no such CSV, or has no such columns.
    """
    where = f"check {setting or 'data.labels.csv'}"
    try:
        return _columns(path, _text(path), key, column, setting or "data.labels.key and data.labels.column")
    except OSError as error:
        what, fix = error.strerror or str(error), where
    except UnicodeDecodeError:
        what, fix = "it is no UTF-8 text", "save it as UTF-8"
    except (csv.Error, ValueError) as error:  # a path with a null byte is a ValueError
        what, fix = f"it is no CSV: {error}", where
    raise DataError(f"{path}: cannot be read: {what}; allowed: a CSV with a header line; fix: {fix}")


def _text(path: str) -> str:
    text = decoded(Path(path).read_bytes())
    if "\0" in text[:1000]:
        raise DataError(
            f"{path}: cannot be read: it looks like UTF-16 text without a byte order mark; allowed: UTF-8; fix: save "
            "it as UTF-8"
        )
    return text


def _columns(path: str, text: str, key: str, column: str, setting: str) -> tuple[list[str], list[str]]:
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    headers = {separator: _header(first, separator) for separator in _SEPARATORS}
    separator = next((each for each, names in headers.items() if {key, column} <= {*names}), "")
    if not separator:
        raise _without_columns(path, key, column, headers, setting)
    names = headers[separator]
    paths, values = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows = (row for row in reader if row)
    next(rows)
    for row in rows:
        if len(row) != len(names):
            what = "more" if len(row) > len(names) else "fewer"
            raise DataError(
                f"{path}:{reader.line_num}: the line has {what} values than the {len(names)} columns of the header; "
                f"fix: mend the line, or put quotes around values with {_SEPARATORS[separator]}"
            )
        paths.append(row[names.index(key)].strip())
        values.append(row[names.index(column)].strip())
    return paths, values


def _header(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator, strict=True), [])]
    except csv.Error:
        return []


def _without_columns(path: str, key: str, column: str, headers: dict[str, list[str]], setting: str) -> DataError:
    """The error for a header that lacks a column under every separator."""
    separator = max(headers, key=lambda each: len(headers[each]))
    names = headers[separator]
    if any(is_image(name) for name in names):
        like = separator.join((key, column))
        return DataError(f"{path}: there is no header line, but a row at once; fix: put the line {like} on top")
    missing = [name for name in (key, column) if name not in names]
    known = ", ".join(names) or "nothing, the file is empty"
    split = f" (columns are separated by {_SEPARATORS[separator]})" if len(names) > 1 else ""
    near = [name for name in names if re.sub(r"\W", "", name).casefold() in {each.casefold() for each in missing}]
    which = f", such as {near[0]!r}" if near else ""
    return DataError(
        f"{path}: there is no column {' and no column '.join(map(repr, missing))}; allowed: {known}{split}; "
        f"fix: set {setting} to names of columns{which}"
    )
