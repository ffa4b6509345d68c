"""Labels from a CSV in place of a source's own, such as those of people who labelled the images again.

N: all ids of the source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.annotations.label_csv import read_columns
from fewer.data.annotations.meaning import Meaning, meaning_of
from fewer.data.annotations.paths import below_train, ids_of
from fewer.data.sources import Source

_SHOWN = 3


@dataclass(frozen=True)
class LabelFile:
    """A CSV with a header line.

    Attributes:
        csv: Its path.
        key: The column that names images by their path in the source.
        column: The column with the labels.
        numbers: Whether labels that are numbers are names of classes, or positions in the source's order of them.
        max_differing: Largest share of the labels that may differ from the source's own.
    """

    csv: str
    key: str
    column: str
    numbers: Literal["names", "positions"] = "names"
    max_differing: float = 0.5


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
            or unknown classes, with the counts and the first few; or more of its labels differ from the source's own
            than `file.max_differing` allows.
    """
    trains = np.zeros(len(source), bool)
    trains[train_ids] = True
    rows, problems = _matched(file, source, trains, notes)
    known = [source.classes[i] for i in np.unique(source.labels[train_ids])]
    meaning = meaning_of(rows.values(), source, known, file.numbers)
    strangers = [value for value in rows.values() if value not in meaning.index]
    problems.append(_problem("labels are no class", strangers))
    if any(problems):
        example = f"{source.names[int(train_ids[0])]!r}; classes are {', '.join(known[:10])}"
        hint = _hint(file, source, rows, known) if strangers else ""
        raise DataError(
            f"{file.csv}: does not fit {source.name}: {'; '.join(filter(None, problems))}; allowed: one row for each "
            f"training image, named in column {file.key!r} as {example}{', ...' if len(known) > 10 else ''}; fix: "
            f"{hint or 'mend these rows, or choose other columns with data.labels.key and data.labels.column'}"
        )
    label_N = source.labels.copy()
    label_N[list(rows)] = [meaning.index[value] for value in rows.values()]
    changed = np.flatnonzero(label_N != source.labels)
    share = len(changed) / max(1, len(rows))
    if share > file.max_differing:
        first = int(changed[0])
        raise DataError(
            f"{file.csv}: {len(changed):,} of {len(rows):,} labels ({share:.2%}) differ from the class of {source.name}"
            f" (first: {source.names[first]} is labelled {rows[first]!r}, read as class "
            f"{source.classes[int(label_N[first])]!r}); allowed: {file.max_differing:.0%}, so that rows of other images"
            " and other numbers of classes are noticed; fix: check data.labels.csv and data.labels.column, or set "
            "data.labels.max_differing = 1.0 where these labels are meant"
        )
    notes.append(
        f"labels of {len(rows):,} training images are those of {file.csv}, column {file.column}, read as "
        f"{meaning.words}: {len(changed):,} ({share:.2%}) differ from the source's own, which test images keep"
    )
    return label_N


def _matched(
    file: LabelFile, source: Source, trains: npt.NDArray[np.bool_], notes: list[str]
) -> tuple[dict[int, str], list[str]]:
    """The label of each training image as the file writes it, and what is wrong with its rows."""
    id_of: dict[str, int] = {}
    for id, name in enumerate(source.names):
        if id_of.setdefault(below_train(name), id) != id and trains[id]:
            raise DataError(
                f"{file.csv}: {source.names[id_of[below_train(name)]]} and {name} of {source.name} have the same path "
                "below train/, so rows cannot tell them apart; fix: rename one of them"
            )
    rows: dict[int, str] = {}
    unknown, twice, spare = [], [], 0
    paths, values = read_columns(file.csv, file.key, file.column)
    for id, path, value in zip(ids_of(paths, id_of, source.location), paths, values, strict=True):
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


def _hint(file: LabelFile, source: Source, rows: dict[int, str], known: list[str]) -> str:
    """The fix for numbers that would fit as positions; "" where they would not."""
    if file.numbers == "positions":
        return ""
    positions: Meaning = meaning_of(rows.values(), source, known, "positions")
    if not all(value in positions.index for value in rows.values()):
        return ""
    agree = sum(positions.index[value] == source.labels[id] for id, value in rows.items()) / len(rows)
    return (
        f"write names of classes, or, if these numbers are {positions.words}, which makes {agree:.0%} of them the "
        'source\'s own, set data.labels.numbers = "positions"'
    )


def _problem(what: str, found: Iterable[str]) -> str:
    """How many there are, and the first few; "" for none."""
    listed = list(found)
    more = ", ..." if len(listed) > _SHOWN else ""
    return f"{len(listed):,} {what} (first: {', '.join(map(repr, listed[:_SHOWN]))}{more})" if listed else ""
