"""Labels from a CSV in place of a source's own, such as those of people who labelled the images again.

N: all ids of the source.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.sources import Source

_SHOWN = 3


@dataclass(frozen=True)
class LabelFile:
    """A CSV with a header line.

    Attributes:
        csv: Its path.
        key: The column that names images by their path in the source.
        column: The column with the labels: class names, or indices into the classes as the source orders them.
    """

    csv: str
    key: str
    column: str


def overridden(
    file: LabelFile, source: Source, train_ids: npt.NDArray[np.int64], notes: list[str]
) -> npt.NDArray[np.int64]:
    """The source's labels with those of its training images replaced.

    Paths of file and source are compared without what leads up to the folder `train/`, and without that folder
    itself: `train/cat/1.png` and `cat/1.png` are the same. Rows on images that do not train are left out.

    Args:
        file: The CSV.
        source: The images.
        train_ids: Images that must all have a row.
        notes: Where to say what was done.

    Returns:
        Index into `source.classes` of every image, int64 (N).

    Raises:
        DataError: The file is unreadable, lacks a column, names unknown images, a training image twice or not at all,
            or unknown classes; with the counts and the first few.
    """
    trains = np.zeros(len(source), bool)
    trains[train_ids] = True
    rows, problems = _matched(file, source, trains, notes)
    known = [source.classes[i] for i in np.unique(source.labels[train_ids])]
    index, meaning = _meaning(rows.values(), source.classes, known)
    problems.append(_problem("labels are no class", (value for value in rows.values() if value not in index)))
    if any(problems):
        example = f"{source.names[int(train_ids[0])]!r}; classes are {', '.join(known[:10])}"
        raise DataError(
            f"{file.csv}: does not fit {source.name}: {'; '.join(filter(None, problems))}; allowed: one row for each "
            f"training image, named in column {file.key!r} as {example}{', ...' if len(known) > 10 else ''}, or their "
            "indices; fix: mend these rows, or choose other columns with data.labels.key and data.labels.column"
        )
    label_N = source.labels.copy()
    label_N[list(rows)] = [index[value] for value in rows.values()]
    changed = int((label_N != source.labels).sum())
    notes.append(
        f"labels of {len(rows):,} training images are those of {file.csv}, column {file.column}, read as {meaning}: "
        f"{changed:,} ({changed / max(1, len(rows)):.2%}) differ from the source's own, which test images keep"
    )
    return label_N


def _matched(
    file: LabelFile, source: Source, trains: npt.NDArray[np.bool_], notes: list[str]
) -> tuple[dict[int, str], list[str]]:
    """The label of each training image as the file writes it, and what is wrong with its rows."""
    id_of: dict[str, int] = {}
    for id, name in enumerate(source.names):
        if id_of.setdefault(_trimmed(name), id) != id and trains[id]:
            raise DataError(
                f"{file.csv}: {source.names[id_of[_trimmed(name)]]} and {name} of {source.name} have the same path "
                "below train/, so rows cannot tell them apart; fix: rename one of them"
            )
    rows: dict[int, str] = {}
    unknown, twice, spare = [], [], 0
    for path, value in zip(*_columns(file), strict=True):
        id = id_of.get(_trimmed(path), -1)
        if id < 0:
            unknown.append(path)
        elif not trains[id]:
            spare += 1
        elif id in rows:
            twice.append(path)
        else:
            rows[id] = value
    if spare:
        notes.append(f"{spare:,} rows of {file.csv} are on images that do not train, and are left out")
    missing = (source.names[id] for id in np.flatnonzero(trains).tolist() if id not in rows)
    return rows, [
        _problem("rows name images that are not in the source", unknown),
        _problem("rows name an image for the second time", twice),
        _problem("training images have no row", missing),
    ]


def _columns(file: LabelFile) -> tuple[list[str], list[str]]:
    """The two columns, without blanks around their values."""
    paths, values = [], []
    with _reading(file), Path(file.csv).open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        header = list(reader.fieldnames or ())
        missing = [name for name in (file.key, file.column) if name not in header]
        if missing:
            raise DataError(
                f"{file.csv}: there is no column {' and no column '.join(map(repr, missing))}; allowed: "
                f"{', '.join(header) or 'nothing, the file is empty'}; fix: set data.labels.key and data.labels.column"
            )
        for row in reader:
            path, value = row[file.key], row[file.column]
            if path is None or value is None or None in row:
                what = "more" if None in row else "fewer"
                raise DataError(
                    f"{file.csv}:{reader.line_num}: the line has {what} values than the {len(header)} columns of the "
                    "header; fix: mend the line, or put quotes around values with commas"
                )
            paths.append(path.strip())
            values.append(value.strip())
    return paths, values


@contextmanager
def _reading(file: LabelFile) -> Iterator[None]:
    """Turns what goes wrong in reading into `DataError`."""
    try:
        yield
    except OSError as error:
        what = error.strerror
    except UnicodeDecodeError:
        what = "it is no UTF-8 text"
    except (csv.Error, ValueError) as error:  # a path with a null byte is a ValueError
        what = f"it is no CSV: {error}"
    else:
        return
    raise DataError(
        f"{file.csv}: cannot be read: {what}; allowed: a CSV with a header line; fix: check data.labels.csv"
    )


def _trimmed(path: str) -> str:
    """A path below its folder `train/`, where it has one that holds folders."""
    folders = path.removeprefix("./").split("/")
    start = folders.index("train") + 1 if "train" in folders[:-2] else 0
    return "/".join(folders[start:])


def _meaning(values: Iterable[str], classes: list[str], known: list[str]) -> tuple[dict[str, int], str]:
    """What labels stand for: names if all are, else indices if all are, else names."""
    index = {name: i for i, name in enumerate(classes)}
    names = {name: index[name] for name in known}
    indices = {str(index[name]): index[name] for name in known}
    seen = set(values)
    by_index = not seen <= names.keys() and seen <= indices.keys()
    return (indices, "indices of classes") if by_index else (names, "names of classes")


def _problem(what: str, found: Iterable[str]) -> str:
    """How many there are, and the first few; "" for none."""
    listed = list(found)
    more = ", ..." if len(listed) > _SHOWN else ""
    return f"{len(listed):,} {what} (first: {', '.join(map(repr, listed[:_SHOWN]))}{more})" if listed else ""
