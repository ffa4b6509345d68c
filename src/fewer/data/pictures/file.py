"""A store of pictures that is open: one mapped file, whose pages all loader processes share.

Pages that a process has looked at count as its memory, so each gives them back now and then; the system keeps them.
"""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

import numpy as np

from fewer.core.errors import DataError
from fewer.core.text import command
from fewer.data.decode.decode import Damaged
from fewer.data.decode.stored import Stored
from fewer.data.pictures.layout import FOOTER_BYTES, NEW, Kind, checksum, read_tail

ENDING = ".pictures"
_HELD_BYTES = 64 << 20  # of pages that a process has looked at
_COMPARED = 16  # pictures whose bytes are compared at opening


class PictureFile:
    """A store, to be read from several threads and processes.

    Attributes:
        path: The file.
        description: What it is of.
    """

    def __init__(self, path: Path) -> None:
        """Opens and verifies a store.

        Raises:
            DataError: It is no store, is cut off, or has other bytes than were written.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - FOOTER_BYTES))
                footer = file.read()
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if size else b""
            self._rows_N, self.description = read_tail(footer, self._map, size)
            self._compare()
        except OSError as error:
            raise DataError(f"{path}: the store cannot be read ({error.strerror or error})") from error
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: the store cannot be used: {error}; fix: remove it, and build it again with "
                f"{command('fewer', 'data', 'store', 'RECIPE')}"
            ) from error
        self._looked_at = 0

    def __len__(self) -> int:
        return len(self._rows_N)

    def read(self, id: int) -> Stored:
        """The picture of an image; its pixels are a view of the mapped file.

        Raises:
            Damaged: The image could not be decoded when the store was built.
        """
        begin, bytes_, width, height, own_width, own_height, kind, _ = self._rows_N[id].item()
        self._release(bytes_)
        if kind == Kind.DAMAGED:
            raise Damaged(self._map[begin : begin + bytes_].decode())
        if kind in (Kind.FILE, Kind.NEW_JPEG):
            return Stored(self._map[begin : begin + bytes_], own_width, own_height, kind not in NEW)
        pixels = np.frombuffer(self._map, np.uint8, bytes_, begin).reshape(height, width, 3)
        return Stored(pixels, own_width, own_height, kind not in NEW)

    def damaged(self) -> int:
        """How many images could not be decoded."""
        return int((self._rows_N["kind"] == Kind.DAMAGED).sum())

    def _release(self, bytes_: int) -> None:
        self._looked_at += bytes_
        if self._looked_at > _HELD_BYTES and isinstance(self._map, mmap.mmap):
            self._looked_at = 0
            with contextlib.suppress(AttributeError, OSError):  # what is read again is mapped again, nothing is lost
                self._map.madvise(mmap.MADV_DONTNEED)

    def _compare(self) -> None:
        for row in self._rows_N[np.linspace(0, max(0, len(self) - 1), min(_COMPARED, len(self))).astype(int)]:
            begin, bytes_ = int(row["begin"]), int(row["bytes"])
            if checksum(self._map[begin : begin + bytes_]) != row["check"]:
                raise ValueError("pictures in it are not those that were written")
