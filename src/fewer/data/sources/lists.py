"""`lists:PATH`: images of another source, split by lists as `fewer data split --as lists` writes them.

The folder holds `split.json`, which names the other source, and `train.csv`, `val.csv` and `test.csv` with a row an
image: its path inside that source, and its class, which is empty for images with boxes or masks. Nothing is copied:
images are read where they lie.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.annotations.label_csv import read_columns
from fewer.data.decode.decode import Pixels
from fewer.data.listing.class_folders import DEEPEST, ClassLevel
from fewer.data.listing.layout import Arranged
from fewer.data.listing.string_array import Names
from fewer.data.reading.annotated import BoxSource, MaskSource
from fewer.data.reading.source import Source, Stamp

Ids = npt.NDArray[np.int64]

FORMS = ("lists:PATH",)
DIFFICULT = MASKS = True  # where they list images with boxes or masks
ABOUT = "split.json"
COLUMNS = ("file", "class")
PARTS = ("train", "val", "test")


class Lists(Source):
    """The listed images of another source, in its order."""

    def __init__(self, name: str, source: Source, ids: Ids, parts: dict[str, Ids]) -> None:
        """Takes images of a source.

        Args:
            name: The text that the user gave.
            source: The source that the images lie in.
            ids: Which images.
            parts: Positions in `ids` of each split.
        """
        self._source, self._ids = source, ids
        labels = self._source.labels[self._ids]
        classes = self._source.classes
        self.numbers_classes = self._source.numbers_classes
        if not self.numbers_classes:
            used, labels = np.unique(labels, return_inverse=True)
            classes = [classes[i] for i in used]
        super().__init__(
            name,
            Arranged(
                Names(self._source.names[id] for id in self._ids.tolist()),
                self._source.sizes[self._ids][:, None],
                classes,
                labels.astype(np.int64),
                parts,
                list(self._source.notes),
            ),
        )
        self.left_out = self._source.left_out

    def read(self, id: int) -> bytes | Pixels:
        return self._source.read(int(self._ids[id]))

    def stamp(self, id: int) -> Stamp | None:
        return self._source.stamp(int(self._ids[id]))

    @property
    def location(self) -> str:
        return self._source.location


def label_of(source: Source, id: int) -> str:
    """What a list calls the class of an image: nothing, where it has boxes or a mask."""
    return source.classes[int(source.labels[id])] if source.annotations == "classes" else ""


def _source_of(name: str, folder: Path) -> tuple[str, ClassLevel]:
    """The text of the source that the images lie in, and which of its folders is the class.

    Raises:
        DataError: There is none, or it is itself a list.
    """
    about = folder / ABOUT
    fix = f"allowed: a folder that `fewer data split --as lists` made, with its {ABOUT}; fix: split again"
    try:
        content = json.loads(about.read_text(encoding="utf-8"))
        text, level = content["source"], content.get("class_level", "auto")
    except OSError as error:
        raise DataError(f"{name}: {about} cannot be read: {error.strerror}; {fix}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{name}: {about} names no source; {fix}") from None
    if not isinstance(text, str) or text.startswith("lists:"):
        raise DataError(f"{name}: {about} names no source that images lie in, but {text!r}; {fix}")
    if level not in ("auto", "innermost") and not (type(level) is int and 1 <= level <= DEEPEST):
        raise DataError(f"{name}: {about} names no class level, but {level!r}; {fix}")
    return text, level


def _parts(name: str, folder: Path, source: Source) -> dict[int, str]:
    """The split of each listed id.

    Raises:
        DataError: A list names an image that is not there, of another class, or twice.
    """
    id_of = {path: id for id, path in enumerate(source.names)}
    part_of: dict[int, str] = {}
    for part in PARTS:
        file = folder / f"{part}.csv"
        if part != "train" and not file.exists():
            continue
        for path, label in zip(*read_columns(str(file), *COLUMNS), strict=True):
            id = id_of.get(path)
            if id is None:
                what = f"{path!r} is not in {source.name}"
            elif label_of(source, id) != label:
                what = f"{path!r} is of class {label_of(source, id)!r} there, not {label!r}"
            elif id in part_of:
                what = f"{path!r} is listed for the second time (first in {part_of[id]}.csv)"
            else:
                part_of[id] = part
                continue
            raise DataError(
                f"{name}: {file}: {what}; allowed: every image once, by its path and class in that source; fix: mend "
                "the row, or split again"
            )
    return part_of


def opened(text: str, place: str) -> Source:
    from fewer.data.sources import open_source

    folder = Path(place).expanduser().absolute()
    source = open_source(*_source_of(text, folder))
    part_of = _parts(text, folder, source)
    ids = np.array(sorted(part_of), np.int64)
    part_N = np.array([part_of[id] for id in ids.tolist()])
    parts = {part: found for part in PARTS if len(found := np.flatnonzero(part_N == part))}
    if isinstance(source, BoxSource | MaskSource):
        return source.picked(text, ids, parts)
    return Lists(text, source, ids, parts)
