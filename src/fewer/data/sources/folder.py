"""`folder:PATH`: a folder of class folders. Links are followed; hidden files and other file types are left out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fewer.data.listing.class_folders import ClassLevel
from fewer.data.listing.layout import Held, arranged, is_image
from fewer.data.listing.left_out import LeftOut
from fewer.data.listing.string_array import Names
from fewer.data.listing.walk import levels
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
        for level in levels(self._root, is_image, left_out):
            folders += level.folders
            if level.files:  # packed before the next folder is opened
                columns = np.array([numbers for _, *numbers in level.files], np.int64)
                held[level.below.rstrip("/")] = Held(Names(file for file, *_ in level.files), columns)
        with left_out.named_in_errors():
            found = arranged(name, held, left_out.without_runs(folders), class_level, left_out.notes)
        super().__init__(name, found)
        self.left_out = left_out
        self._modified_ns = found.columns[:, 1]

    def read(self, id: int) -> bytes:
        return Path(f"{self._root}/{self.names[id]}").read_bytes()

    def stamp(self, id: int) -> Stamp:
        return f"{self._root}/{self.names[id]}", int(self.sizes[id]), int(self._modified_ns[id])

    @property
    def location(self) -> str:
        return self._root


def opened(text: str, place: str, class_level: ClassLevel = "auto") -> Folder:
    return Folder(text, place, class_level)
