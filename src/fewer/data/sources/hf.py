"""`hf:NAME`: a data set of the Hugging Face Hub, or a folder of its files; needs the extra `hf`.

`hf:NAME:CONFIG` chooses one of its configurations, and `?image=COLUMN&label=COLUMN` at the end says which columns to
take where types and names do not. Code that a data set brings along is never run. Images stay in files that are
mapped, and are read one by one as they were encoded.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.listing.layout import Rows, tabled
from fewer.data.listing.split_folders import PARTS
from fewer.data.reading.source import Source, Stamp

FORMS = ("hf:NAME",)

_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "fine_label", "class", "category", "target")


class HuggingFace(Source):
    """Rows of a data set, listed as `train/00042`; classes in the order of its `ClassLabel`, else sorted."""

    def __init__(self, name: str, place: str) -> None:
        place, _, query = place.partition("?")
        splits = _loaded(name, place)
        image, label = _columns(name, splits, dict(parse_qsl(query)))
        parts, notes = _parts(name, splits, label)
        self._tables = [_only(splits[split], image) for split in parts.values()]
        self._image = image
        self._root = Path(place) if Path(place).is_absolute() else None
        classes, labels = _labels(name, [splits[split] for split in parts.values()], label)
        rows = [
            Rows(part, _sizes(table, image), label_M)
            for part, table, label_M in zip(parts, self._tables, labels, strict=True)
        ]
        found = tabled(name, rows, classes)
        super().__init__(name, found)
        self._table, self._row = found.columns[:, 1], found.columns[:, 2]
        self._files = [_file(table) for table in self._tables]
        self.numbers_classes = all(hasattr(table.features[label], "int2str") for table in splits.values())
        self.notes += notes

    def read(self, id: int) -> bytes:
        value = self._tables[self._table[id]][int(self._row[id])][self._image] or {}
        content: bytes | None = value.get("bytes")
        return self._elsewhere(value.get("path")) if content is None else content

    def stamp(self, id: int) -> Stamp | None:
        file = self._files[self._table[id]]
        if file is None:
            return None
        paths, size, modified_ns = file
        return f"{paths}\0{self._image}\0{self._row[id]}", size, modified_ns

    def _elsewhere(self, path: str | None) -> bytes:
        """A file that the row names; only where the data set itself lies, for rows are not trusted."""
        import datasets

        home = [Path(datasets.config.HF_DATASETS_CACHE), Path(datasets.config.HF_CACHE_HOME) / "hub"]
        if path is None or not any(Path(path).absolute().is_relative_to(base) for base in (*home, self._root) if base):
            raise OSError(f"the row holds no image{f', but the path {path}' if path else ''}")
        if ".." in Path(path).parts:
            raise OSError(f"the row's path climbs: {path}")
        return Path(path).read_bytes()


def opened(text: str, place: str) -> HuggingFace:
    return HuggingFace(text, place)


def absolute(place: str, base: Path) -> str:
    """A folder beside the recipe by its path; anything else is a name on the Hub."""
    name, mark, query = place.partition("?")
    folder = base / Path(name).expanduser()
    return f"{folder.resolve()}{mark}{query}" if name[:1] in (".", "/", "~") or os.path.isdir(folder) else place


def _loaded(name: str, place: str) -> dict[str, Any]:
    """All splits of a data set."""
    try:
        import datasets
    except ImportError:
        raise DataError(f"{name}: the library `datasets` is missing; fix: pip install datasets") from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    path, _, config = (place, "", "") if os.path.isdir(place) else place.partition(":")
    if Path(path).is_absolute() and not os.path.isdir(path):
        raise DataError(f"{name}: the folder {path} does not exist; fix: check the path")
    try:
        return dict(datasets.load_dataset(path, config or None))
    except Exception as error:  # the library passes on whatever network, disk and parsers raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        cause = f" ({' '.join(str(error.__cause__).split())[:200]})" if error.__cause__ else ""
        raise DataError(
            f"{name}: cannot be loaded: {what[:400]}{cause}; allowed: hf:NAME or hf:NAME:CONFIG with a name of the "
            "Hub, or the folder of its files; fix: check the name; without a network, load it where there is one "
            "and copy HF_HOME"
        ) from error


def _columns(name: str, splits: dict[str, Any], asked: dict[str, str]) -> tuple[str, str]:
    """The columns of images and labels: as asked, else by type, else by name."""
    features = next(iter(splits.values())).features
    images = [key for key, kind in features.items() if _is_image(kind)]
    classes = [key for key, kind in features.items() if hasattr(kind, "int2str")]
    plain = [key for key, kind in features.items() if getattr(kind, "dtype", "").startswith(("string", "int", "uint"))]
    plain = [key for key in plain if key in _LABEL_NAMES]
    found = []
    for role, candidates, names in (("image", images, _IMAGE_NAMES), ("label", classes or plain, _LABEL_NAMES)):
        likely = [asked[role]] if role in asked else [key for key in names if key in candidates]
        chosen = likely[0] if likely else candidates[0] if len(candidates) == 1 else None
        if chosen is None or chosen not in features or (role == "image" and chosen not in images):
            there = ", ".join(f"{key} ({_kind(kind)})" for key, kind in features.items())
            what = f"the column {chosen!r} holds no {role}s" if chosen else f"no column is plainly that of the {role}s"
            raise DataError(f"{name}: {what}; allowed: {there}; fix: say which, as in {name}?{role}=COLUMN")
        found.append(chosen)
    return found[0], found[1]


def _is_image(kind: Any) -> bool:
    """Whether a column is typed as images, or holds them as files do without types: bytes and a path."""
    if isinstance(kind, dict):
        return getattr(kind.get("bytes"), "dtype", "") in ("binary", "large_binary")
    return type(kind).__name__ == "Image"


def _kind(kind: Any) -> str:
    return str(getattr(kind, "dtype", type(kind).__name__)) if not hasattr(kind, "int2str") else "ClassLabel"


def _parts(name: str, splits: dict[str, Any], label: str) -> tuple[dict[str, str], list[str]]:
    """The split of each part, and what is left out."""
    import pyarrow.compute as pc

    known = PARTS
    hidden = {
        split
        for split, table in splits.items()
        if hasattr(table.features[label], "int2str") and pc.max(table.data.column(label)).as_py() in (-1, None)
    }
    parts = {known[split]: split for split in reversed(splits) if split in known and split not in hidden}
    left = [f"{split} ({'no labels' if split in hidden else 'no part'})" for split in splits]
    if "train" not in parts:
        if len(splits) > 1:
            raise DataError(f"{name}: there is no split train; there are {', '.join(left)}; fix: give other data")
        parts = {"": next(iter(splits))}
    left = [each for each in left if each.partition(" (")[0] not in parts.values()]
    return parts, [f"splits of {name} that are left out: {', '.join(left)}"] if left else []


def _only(table: Any, image: str) -> Any:
    """The column of images, not decoded."""
    import datasets

    only = table.select_columns([image])
    return only if isinstance(only.features[image], dict) else only.cast_column(image, datasets.Image(decode=False))


def _sizes(table: Any, image: str) -> npt.NDArray[np.int64]:
    """Bytes of every image, by what the file says of its own values; 0 where the bytes lie elsewhere."""
    import pyarrow.compute as pc

    content = pc.struct_field(table.data.column(image), "bytes")
    sizes: npt.NDArray[np.int64] = pc.fill_null(pc.binary_length(content), 0).to_numpy().astype(np.int64)
    return sizes


def _labels(name: str, tables: list[Any], label: str) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """Names of the classes, and the class of every row of every table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [table.data.column(label) for table in tables]
    kind = tables[0].features[label]
    if hasattr(kind, "int2str"):
        classes = list(kind.names)
        labels = [pc.fill_null(column, -1).to_numpy().astype(np.int64) for column in columns]
    else:
        values = sorted({value for column in columns for value in pc.unique(column).to_pylist() if value is not None})
        classes = [str(value) for value in values]
        labels = [
            pc.fill_null(pc.index_in(column, pa.array(values, column.type)), -1).to_numpy().astype(np.int64)
            for column in columns
        ]
    for table, label_M in zip(tables, labels, strict=True):
        if bad := int(((label_M < 0) | (label_M >= len(classes))).sum()):
            raise DataError(
                f"{name}: {bad:,} of {len(table):,} images of the split {table.split} have no label in column "
                f"{label!r}; fix: take another column with ?label=COLUMN, or another data set"
            )
    return classes, labels


def _file(table: Any) -> Stamp | None:
    """The files that a split is mapped from; None where it is in memory."""
    paths = [str(file["filename"]) for file in table.cache_files]
    try:
        stats = [os.stat(path) for path in paths]
    except OSError:
        return None
    if not stats:
        return None
    return "\0".join(paths), sum(each.st_size for each in stats), max(each.st_mtime_ns for each in stats)
