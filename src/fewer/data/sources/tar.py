"""`tar:PATH`: an uncompressed tar of class folders, read in place with `pread`; it is never extracted."""

from __future__ import annotations

import os
import stat
import weakref
from pathlib import Path

from fewer.data.listing.layout import arranged, grouped, is_image, is_visible
from fewer.data.listing.tar import members
from fewer.data.reading.source import Source, Stamp, unreadable

FORMS = ("tar:PATH",)


class Tar(Source):
    """Members by path, with the place of their bytes in the file."""

    def __init__(self, name: str, path: str) -> None:
        self._path = str(Path(path).expanduser().absolute())
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise unreadable(name, f"{self._path}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._descriptor)
        self._status = os.fstat(self._descriptor)
        if not stat.S_ISREG(self._status.st_mode):
            raise unreadable(name, f"{self._path} is not a file; a folder is given as folder:PATH")
        listed = members(self._descriptor, self._path)
        files = {
            path: (size, offset) for path, (offset, size) in listed.files.items() if is_visible(path) and is_image(path)
        }
        folders = [path for path in listed.folders if path and is_visible(path)]  # "" is the root
        found = arranged(name, grouped(files), folders)
        super().__init__(name, found)
        self._offsets = found.columns[:, 1]

    def read(self, id: int) -> bytes:
        return os.pread(self._descriptor, int(self.sizes[id]), int(self._offsets[id]))

    def stamp(self, id: int) -> Stamp:
        place = f"{self._path}\0{self._offsets[id]}\0{self.sizes[id]}"
        return place, self._status.st_size, self._status.st_mtime_ns

    @property
    def location(self) -> str:
        return self._path


def opened(text: str, place: str) -> Tar:
    return Tar(text, place)
