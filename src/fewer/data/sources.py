"""Sources: a sorted listing of images with their classes, and the reading of their bytes.

An id is the position in the source sorted by path, before any split. A class is the folder that holds the file.
Listing needs no torch. N: all ids of the source.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewer.data.decode import Damaged, Pixels, short_side_px
from fewer.data.layout import arranged, is_image, is_visible
from fewer.data.tar import members
from fewer.errors import DataError

Stamp = tuple[str, int, int]  # where the bytes lie, their size in bytes, when they were modified (ns since 1970)


class Source(ABC):
    """Images by id. Final classes: `Digits`, `Folder`, `Tar`.

    Attributes:
        name: The text that the user gave, such as `"tar:/data/train.tar"`.
        names: Path of every image inside the source, sorted; the position is the id.
        sizes: Bytes of every image, int64 (N).
        labels: Index into `classes` of every image, int64 (N).
        classes: Names of the classes, sorted.
        parts: Ids of `train`, `val` and `test` where the source is laid out that way; else empty.
        notes: What a person should know of the listing, a sentence each.
    """

    def __init__(self, name: str, sizes: dict[str, int], folders: Iterable[str] = ()) -> None:
        self.name = name
        found = arranged(name, sizes, folders)
        self.names: list[str] = found.names
        self.classes: list[str] = found.classes
        self.labels: npt.NDArray[np.int64] = found.labels
        self.parts: dict[str, npt.NDArray[np.int64]] = found.parts
        self.notes: list[str] = found.notes
        self.sizes: npt.NDArray[np.int64] = np.fromiter((sizes[path] for path in self.names), np.int64)

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, id: int) -> bytes | Pixels:
        """The file's bytes, or the pixels themselves. Safe to call from several threads.

        Raises:
            OSError: The file is gone or cannot be read.
        """

    def stamp(self, id: int) -> Stamp | None:
        """What a cached hash of the image's bytes is good for; None where caching makes no sense."""
        return None

    @property
    def location(self) -> str:
        """The absolute path of the source, or its name where it has none."""
        return self.name

    def native_side_px(self, ids: Sequence[int] | None = None, sample: int = 16) -> int:
        """Median of the shorter sides of a few images spread over `ids` (all, if left out), by their headers.

        Raises:
            DataError: None of them is an image.
        """
        pool = np.arange(len(self)) if ids is None else np.asarray(ids)
        chosen = pool[np.linspace(0, len(pool) - 1, min(sample, len(pool))).astype(int)]
        sides = []
        for id in chosen.tolist():
            try:
                sides.append(short_side_px(self.read(id)))
            except (Damaged, OSError) as error:
                last = f"{self.names[id]}: {error}"
        if not sides:
            raise DataError(f"{self.name}: none of {len(chosen)} images tried can be read ({last}); fix: copy it again")
        return int(np.median(sides))


class Digits(Source):
    """scikit-learn's bundled handwritten digits: 1,797 grey images of 8x8, values 0..16 scaled to 0..255."""

    def __init__(self, name: str = "digits") -> None:
        table = _digits_table()
        images = np.rint(table[:, :64].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        paths = {f"{label}/digit-{i:04d}.png": i for i, label in enumerate(table[:, 64].astype(int))}
        super().__init__(name, dict.fromkeys(paths, images[0].nbytes))
        self._images = images[[paths[path] for path in self.names]]

    def read(self, id: int) -> Pixels:
        image: Pixels = self._images[id]
        return image


def _digits_table() -> npt.NDArray[np.float64]:
    """1,797 rows of 64 values and the digit: scikit-learn's file, read as `load_digits` does.

    Importing scikit-learn itself would cost every start of a program two seconds.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits: scikit-learn, which brings the images, is missing; fix: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])


class Folder(Source):
    """A folder of class folders. Links are followed; hidden files and other file types are left out."""

    def __init__(self, name: str, path: str) -> None:
        self._root = str(Path(path).expanduser().absolute())
        if not Path(self._root).is_dir():
            what = "is a file, not a folder" if Path(self._root).exists() else "does not exist"
            raise _unreadable(name, f"{self._root} {what}")
        stats: dict[str, os.stat_result] = {}
        folders: list[str] = []
        self._walk("", stats, folders, ())
        super().__init__(name, {path: status.st_size for path, status in stats.items()}, folders)
        self._modified_ns = [stats[path].st_mtime_ns for path in self.names]

    def _walk(self, below: str, stats: dict[str, os.stat_result], folders: list[str], above: tuple[str, ...]) -> None:
        here = f"{self._root}/{below}"
        above = (*above, os.path.realpath(here))
        if above[-1] in above[:-1]:
            raise _unreadable(self._root, f"{here} links back to a folder above it")
        try:
            with os.scandir(here) as scan:
                entries = list(scan)
            for entry in entries:
                path = below + entry.name
                if not is_visible(entry.name):
                    continue
                if entry.is_dir():
                    folders.append(path)
                    self._walk(path + "/", stats, folders, above)
                elif is_image(entry.name):
                    stats[path] = entry.stat()
                    if not stat.S_ISREG(stats[path].st_mode):  # opening a pipe would wait for ever
                        raise _unreadable(self._root, f"{path} is no regular file")
        except OSError as error:
            raise _unreadable(self._root, f"{error.filename}: {error.strerror}") from error

    def read(self, id: int) -> bytes:
        return Path(f"{self._root}/{self.names[id]}").read_bytes()

    def stamp(self, id: int) -> Stamp:
        return f"{self._root}/{self.names[id]}", int(self.sizes[id]), self._modified_ns[id]

    @property
    def location(self) -> str:
        return self._root


class Tar(Source):
    """An uncompressed tar of class folders, read in place with `pread`; it is never extracted."""

    def __init__(self, name: str, path: str) -> None:
        self._path = str(Path(path).expanduser().absolute())
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(name, f"{self._path}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._descriptor)
        self._status = os.fstat(self._descriptor)
        if not stat.S_ISREG(self._status.st_mode):
            raise _unreadable(name, f"{self._path} is not a file; a folder is given as folder:PATH")
        listed = members(self._descriptor, self._path)
        visible = {path: place for path, place in listed.files.items() if is_visible(path) and is_image(path)}
        folders = [path for path in listed.folders if path and is_visible(path)]  # "" is the root
        super().__init__(name, {path: size for path, (_, size) in visible.items()}, folders)
        self._offsets = [visible[path][0] for path in self.names]

    def read(self, id: int) -> bytes:
        return os.pread(self._descriptor, int(self.sizes[id]), self._offsets[id])

    def stamp(self, id: int) -> Stamp:
        place = f"{self._path}\0{self._offsets[id]}\0{self.sizes[id]}"
        return place, self._status.st_size, self._status.st_mtime_ns

    @property
    def location(self) -> str:
        return self._path


def open_source(text: str) -> Source:
    """The source that `digits`, `folder:PATH` or `tar:PATH` names.

    Raises:
        DataError: No such kind; missing, unreadable or empty; no class folders.
    """
    kind, _, path = text.partition(":")
    if text == "digits":
        return Digits()
    if kind == "folder" and path:
        return Folder(text, path)
    if kind == "tar" and path:
        return Tar(text, path)
    hint = f"folder:{text}" if Path(text).is_dir() else f"tar:{text}" if text.endswith(".tar") else "folder:PATH"
    raise DataError(f"{text!r} names no data; allowed: digits, folder:PATH, tar:PATH; fix: {hint}")


def _unreadable(name: str, what: str) -> DataError:
    return DataError(f"{name}: {what}; allowed: a readable folder or tar of class folders; fix: check path and rights")
