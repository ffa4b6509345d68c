"""`folder:PATH`: a folder of class folders. Links are followed; hidden files and other file types are left out."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from fewer.data.listing.class_folders import ClassLevel
from fewer.data.listing.layout import Held, arranged, is_image
from fewer.data.listing.left_out import LeftOut, is_run, is_visible
from fewer.data.listing.string_array import Names
from fewer.data.reading.source import Source, Stamp, unreadable

FORMS = ("folder:PATH",)
CLASS_FOLDERS = True


class Folder(Source):
    """Files by path, with the size and the time of modification that they were listed with."""

    def __init__(self, name: str, path: str, class_level: ClassLevel = "auto") -> None:
        self._root = str(Path(path).expanduser().absolute())
        if not os.path.isdir(self._root):
            what = "is a file, not a folder" if os.path.exists(self._root) else "does not exist"
            raise unreadable(name, f"{self._root} {what}")
        held: dict[str, Held] = {}
        folders: list[str] = []
        left_out = LeftOut()
        self._walk("", held, folders, left_out, ())
        with left_out.named_in_errors():
            found = arranged(name, held, left_out.without_runs(folders), class_level, left_out.notes)
        super().__init__(name, found)
        self.left_out = left_out
        self._modified_ns = found.columns[:, 1]

    def _walk(
        self, below: str, held: dict[str, Held], folders: list[str], left_out: LeftOut, above: tuple[str, ...]
    ) -> None:
        """Lists a folder into `held`, and those below it; what it holds is packed before the next one is opened."""
        here = f"{self._root}/{below}"
        above = (*above, os.path.realpath(here))
        if above[-1] in above[:-1]:
            raise unreadable(self._root, f"{here} links back to a folder above it")
        images, inner = [], []
        try:
            with os.scandir(here) as scan:
                for entry in scan:
                    if not is_visible(entry.name):
                        left_out.add_hidden(below + entry.name)
                    elif entry.is_dir():
                        inner.append(below + entry.name)
                    elif is_image(entry.name):
                        status = entry.stat()
                        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                            raise unreadable(self._root, f"{below}{entry.name} is no regular file")
                        images.append((entry.name, status.st_size, status.st_mtime_ns))
                    else:
                        left_out.add_file(below + entry.name)
        except OSError as error:
            raise unreadable(self._root, f"{error.filename}: {error.strerror}") from error
        if images:
            images.sort()
            columns = np.array([numbers for _, *numbers in images], np.int64)
            held[below.rstrip("/")] = Held(Names(name for name, *_ in images), columns)
        folders += inner
        for path in inner:
            if is_run(f"{self._root}/{path}"):
                left_out.runs.add(path)
            else:
                self._walk(f"{path}/", held, folders, left_out, above)

    def read(self, id: int) -> bytes:
        return Path(f"{self._root}/{self.names[id]}").read_bytes()

    def stamp(self, id: int) -> Stamp:
        return f"{self._root}/{self.names[id]}", int(self.sizes[id]), int(self._modified_ns[id])

    @property
    def location(self) -> str:
        return self._root


def opened(text: str, place: str, class_level: ClassLevel = "auto") -> Folder:
    return Folder(text, place, class_level)
