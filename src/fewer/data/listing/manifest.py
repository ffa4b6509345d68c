"""The manifest of a run's data, a line an image, by which a resumed run knows whether the data has changed.

Lines are made as they are asked for: there may be millions. M: ids of a split. N: all ids of its source.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

_CHUNK = 4096
_LEVEL = 3  # content hashes do not compress, names do at any level


@dataclass(frozen=True)
class Entries:
    """The images of one split, by ascending id.

    Attributes:
        split: `train`, `val` or `test`.
        ids_M: Which images.
        names, sizes_N, hashes: Path, bytes and content hash of every image of the source.
        label_N: Index into `classes` of every image of the split.
        classes: Names of the classes.
    """

    split: str
    ids_M: npt.NDArray[np.int64]
    names: Sequence[str]
    sizes_N: npt.NDArray[np.int64]
    hashes: Sequence[bytes]
    label_N: npt.NDArray[np.int64]
    classes: list[str]

    def lines(self, sort: bool = False) -> Iterator[str]:
        """Split, path, bytes, class and content hash, tab-separated and escaped; by id, or as text sorts."""
        labels = [_escaped(name) for name in self.classes]
        ids_M = self._sorted_ids() if sort else self.ids_M
        for start in range(0, len(ids_M), _CHUNK):
            ids = ids_M[start : start + _CHUNK]
            for id, size, label in zip(
                ids.tolist(), self.sizes_N[ids].tolist(), self.label_N[ids].tolist(), strict=True
            ):
                name = _escaped(self.names[id])
                yield f"{self.split}\t{name}\t{size}\t{labels[label]}\t{self.hashes[id].hex()}"

    def _sorted_ids(self) -> npt.NDArray[np.int64]:
        """Ids are sorted by path already, unless escaping changes what sorts first."""
        if all(_is_plain(name) for name in self.names):
            return self.ids_M
        return np.array(sorted(self.ids_M.tolist(), key=lambda id: f"{_escaped(self.names[id])}\t"), np.int64)


@final
class Manifest(Iterable[str]):
    """All lines, split after split; can be gone through again and again."""

    def __init__(self, splits: Iterable[Entries]) -> None:
        self._splits = list(splits)

    def __iter__(self) -> Iterator[str]:
        for entries in self._splits:
            yield from entries.lines()

    def digest(self, split: str = "") -> str:
        """32 hexadecimal digits over the sorted lines, of one split alone or of all, whatever the order of images."""
        total = hashlib.blake2b(digest_size=16)
        for entries in sorted(self._splits, key=lambda entries: entries.split):
            if split not in ("", entries.split):
                continue
            for text in _joined(entries.lines(sort=True)):
                total.update(text)
        return total.hexdigest()

    def packed(self) -> bytes:
        """The lines as a gzip file, the same for the same lines."""
        pack = zlib.compressobj(_LEVEL, wbits=31)
        return b"".join([*(pack.compress(text) for text in _joined(iter(self))), pack.flush()])


@final
class PackedManifest(Iterable[str]):
    """The lines of a file that `Manifest.packed` made; going through them raises OSError, EOFError or ValueError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        try:
            with gzip.open(self._path, "rt", encoding="utf-8", newline="\n") as file:
                for line in file:
                    yield line.rstrip("\n")
        except zlib.error as error:
            raise ValueError(str(error)) from error


def difference(old_lines: Iterable[str], new_lines: Iterable[str]) -> str | None:
    """What changed between two manifests, in words; None if nothing did.

    Such as "3 added (first: train cat/x.png), 1 removed (first: ...), 2 with changed content (first: ...)".

    Args:
        old_lines: Gone through twice, so that only lines that differ have to be kept.
        new_lines: Likewise.
    """
    old_hashes, new_hashes = (np.fromiter(map(hash, lines), np.int64) for lines in (old_lines, new_lines))
    gone, came = ~np.isin(old_hashes, new_hashes), ~np.isin(new_hashes, old_hashes)
    if not gone.any() and not came.any():
        return None
    old, new = _keyed(compress(old_lines, gone)), _keyed(compress(new_lines, came))
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    names = {name for _, name in added} & {name for _, name in removed}
    shared = sorted(old.keys() & new.keys())
    found = {
        "added": [key for key in added if key[1] not in names],
        "removed": [key for key in removed if key[1] not in names],
        "moved to another split": [key for key in added if key[1] in names],
        "with changed content": [key for key in shared if _content(old[key]) != _content(new[key])],
        "with a changed label": [key for key in shared if old[key][1:2] != new[key][1:2]],
    }
    parts = [f"{len(keys):,} {what} (first: {' '.join(keys[0])})" for what, keys in found.items() if keys]
    return ", ".join(parts) or None


def _joined(lines: Iterator[str]) -> Iterator[bytes]:
    """Many lines at a time, each with its end."""
    while chunk := "".join(f"{line}\n" for line in islice(lines, _CHUNK)):
        yield chunk.encode()


def _keyed(lines: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """(split, name) to [size, class, hash]."""
    entries = (text.rstrip("\n").split("\t") for text in lines)
    return {(fields[0], "".join(fields[1:2])): fields[2:] for fields in entries}


def _content(fields: list[str]) -> list[str]:
    return [*fields[:1], *fields[-1:]]


def _is_plain(text: str) -> bool:
    return text.isprintable() and "\\" not in text


def _escaped(text: str) -> str:
    """Without tabs, line ends, control characters or undecodable bytes; reversible."""
    if _is_plain(text):
        return text
    return "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in text)
