"""Image files named one by one or by their folder; they have no classes. Listing needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewer.core.errors import DataError
from fewer.data.decode.decode import Damaged
from fewer.data.listing.layout import is_image
from fewer.data.listing.left_out import LeftOut, is_run, is_visible
from fewer.data.sources import Source

_BYTES_MAX = 2**30  # one image may not fill the memory


class Found(NamedTuple):
    """A path that was named or found, and why nothing can be read there; usually ""."""

    path: str
    fault: str = ""


class Files(Source):
    """Some files as a source: their paths are their names, and they all have the class ""."""

    def __init__(self, found: Sequence[Found]) -> None:
        self.name, self.classes, self.notes, self.parts = "the images", [""], [], {}
        self.names = [file.path for file in found]
        self.labels = np.zeros(len(found), np.int64)
        self.sizes = np.zeros(len(found), np.int64)
        self._faults = [file.fault for file in found]

    def read(self, id: int) -> bytes:
        if self._faults[id]:
            raise Damaged(self._faults[id])
        return read_image(self.names[id])


def read_image(path: str) -> bytes:
    """The bytes of an image file.

    Raises:
        Damaged: It cannot be read, or is larger than any image.
    """
    try:
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > _BYTES_MAX:
                raise Damaged(f"{size / 1e9:.1f} GB; at most {_BYTES_MAX / 1e9:.1f} GB are read")
            return file.read()
    except OSError as error:
        raise Damaged(error.strerror or type(error).__name__) from None


def files_of(paths: Iterable[str | Path], left_out: LeftOut | None = None) -> Iterator[Found]:
    """The images below folders, sorted folder by folder, and files as they are named; in the order of `paths`.

    Run folders, and files and folders that are hidden, are left out unless they are named themselves. Links are
    followed, but not back to a folder above them. Lazy: a folder's names are held in memory, not those of all folders.

    Args:
        paths: Images, and folders of images.
        left_out: Counts images of formats that are not read, as they are come across.

    Raises:
        DataError: Paths that do not exist, that are neither file nor folder, or folders without an image; all at once,
            before the first file is given.
    """
    texts = [os.fspath(path) for path in paths]
    problems = [problem for text in texts if (problem := _problem(text))]
    if problems:
        raise DataError("\n".join(problems))
    seen = left_out or LeftOut()
    return (found for text in texts for found in (_below(text, (), seen) if os.path.isdir(text) else [Found(text)]))


def _problem(path: str) -> str:
    if not os.path.lexists(path):
        return f"{path}: no such file or folder; give images, or folders that hold some"
    if os.path.isdir(path):
        seen = LeftOut()
        if next(_below(path, (), seen), None):
            return ""
        return f"{path}: no images below this folder; {seen.unread_note or 'check the path'}"
    return "" if os.path.isfile(path) else f"{path}: neither a file nor a folder; give images, or folders of some"


def _below(folder: str, above: tuple[str, ...], left_out: LeftOut) -> Iterator[Found]:
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, f"the folder cannot be read: {error.strerror}")
        return
    for entry in entries:
        if not is_visible(entry.name):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
            is_other_run = is_folder and is_run(entry.path)
        except OSError as error:  # a link that leads in a circle, or below a folder without rights
            yield Found(entry.path, error.strerror or type(error).__name__)
            continue
        if is_folder:
            if not is_other_run:
                yield from _below(entry.path, (*above, real), left_out)
        elif is_image(entry.name):
            # Opening a pipe would wait for ever.
            yield Found(entry.path, "" if is_file else "no regular file")
        else:
            left_out.add_file(entry.path)
