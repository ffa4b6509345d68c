"""`tar:PATH`: an uncompressed tar of class folders, read in place with `pread`; it is never extracted."""

from __future__ import annotations

import os
import stat
import weakref
from pathlib import Path

from fewer.data.listing.class_folders import ClassLevel
from fewer.data.listing.layout import arranged, grouped, is_image
from fewer.data.listing.left_out import RUN_FILES, LeftOut, is_visible
from fewer.data.listing.tar import Members, members
from fewer.data.reading.source import Source, Stamp, unreadable

FORMS = ("tar:PATH",)
CLASS_FOLDERS = True


class Tar(Source):
    """Members by path, with the place of their bytes in the file."""

    def __init__(self, name: str, path: str, class_level: ClassLevel = "auto") -> None:
        self._path = str(Path(path).expanduser().absolute())
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise unreadable(name, f"{self._path}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._descriptor)
        self._status = os.fstat(self._descriptor)
        if not stat.S_ISREG(self._status.st_mode):
            raise unreadable(name, f"{self._path} is not a file; a folder is given as folder:PATH")
        files, folders, left_out = images_of(members(self._descriptor, self._path))
        places = {path: (size, offset) for path, (offset, size) in files.items()}
        with left_out.named_in_errors():
            found = arranged(name, grouped(places), folders, class_level, left_out.notes)
        super().__init__(name, found)
        self.left_out = left_out
        self._offsets = found.columns[:, 1]

    def read(self, id: int) -> bytes:
        return os.pread(self._descriptor, int(self.sizes[id]), int(self._offsets[id]))

    def stamp(self, id: int) -> Stamp:
        place = f"{self._path}\0{self._offsets[id]}\0{self.sizes[id]}"
        return place, self._status.st_size, self._status.st_mtime_ns

    @property
    def location(self) -> str:
        return self._path


def images_of(listed: Members) -> tuple[dict[str, tuple[int, int]], list[str], LeftOut]:
    """The images of a tar with their places, its folders, and what is left out."""
    runs = {path.rpartition("/")[0] for path in listed.files if path.endswith(RUN_FILES)}
    left_out = LeftOut(runs=runs - {""})
    files = {}
    for path, place in listed.files.items():
        if not is_visible(path):
            left_out.add_hidden(path)
        elif runs and left_out.in_run(path):
            continue
        elif is_image(path):
            files[path] = place
        else:
            left_out.add_file(path)
    folders = [path for path in listed.folders if path and is_visible(path)]  # "" is the root
    return files, left_out.without_runs(folders), left_out


def opened(text: str, place: str, class_level: ClassLevel = "auto") -> Tar:
    return Tar(text, place, class_level)
