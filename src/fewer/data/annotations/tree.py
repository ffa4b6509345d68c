"""The files of an annotated data set: its images, and the files that annotate them."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from fewer.core.errors import DataError
from fewer.core.text import decoded
from fewer.data.decode.formats import ending_of, is_image
from fewer.data.listing.left_out import LeftOut
from fewer.data.listing.split_folders import is_plain, part_of
from fewer.data.listing.walk import levels

_ANNOTATING = frozenset(("json", "xml", "txt", "yaml", "yml", "csv", "names", "data"))
_XML_ENCODING = re.compile(rb"""<\?xml [^>]{0,80}?encoding=["']([\w.-]{2,20})["']""")
_OLD_ENCODINGS = ("iso-8859-1", "latin-1", "windows-1252", "gbk", "gb2312", "gb18030", "big5", "shift_jis", "euc-kr")
_BYTES_MAX = 2**31  # of a file that annotates; COCO's largest has 0.5 GB


class Tree:
    """All visible files below a folder.

    Attributes:
        root: Absolute path of the folder.
        files: Bytes and time of modification (ns since 1970) by path below the root, `/`-separated.
        left_out: What was come across and is not read.
    """

    def __init__(self, name: str, place: str) -> None:
        """Lists a folder, or the one that a file lies in.

        Args:
            name: What to call the source in messages.
            place: The folder.

        Raises:
            DataError: It is missing or cannot be read.
        """
        self.root = str(Path(place).expanduser().absolute())
        if not os.path.isdir(self.root):
            raise DataError(f"{name}: {self.root} is no folder; allowed: a folder of images; fix: check the path")
        self.left_out = LeftOut()
        self.files: dict[str, tuple[int, int]] = {}
        for level in levels(self.root, _is_wanted, self.left_out):
            for file, size, modified_ns in level.files:
                self.files[level.below + file] = size, modified_ns

    def images(self) -> list[str]:
        """Paths of the images, sorted."""
        return sorted(path for path in self.files if is_image(path))

    def ending(self, *endings: str) -> list[str]:
        """Paths of the files of some endings, sorted."""
        return sorted(path for path in self.files if ending_of(path) in endings)

    def text(self, path: str) -> str:
        """The text of a file: UTF-8, UTF-16 with its mark, or of XML an old encoding that it states.

        Raises:
            DataError: It cannot be read, is too large, or is no text.
        """
        try:
            if self.files[path][0] > _BYTES_MAX:
                raise DataError(f"{self.root}/{path}: {self.files[path][0]:,} bytes; at most {_BYTES_MAX:,} are read")
            raw = Path(f"{self.root}/{path}").read_bytes()
            stated = _XML_ENCODING.match(raw)
            coding = stated[1].decode().lower() if stated else ""
            return raw.decode(coding) if coding in _OLD_ENCODINGS else decoded(raw)
        except OSError as error:
            raise self._unreadable(path, error) from error
        except UnicodeDecodeError as error:
            what = f"it is not in {coding}, as it states" if coding in _OLD_ENCODINGS else "no UTF-8 text"
            raise DataError(f"{self.root}/{path}: {what}; fix: export it again, or save it as UTF-8") from error

    def head(self, path: str) -> bytes:
        """The first 4 KiB of a file.

        Raises:
            DataError: It cannot be read.
        """
        try:
            with open(f"{self.root}/{path}", "rb") as file:
                return file.read(4096)
        except OSError as error:
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: str, error: OSError) -> DataError:
        return DataError(f"{self.root}/{path}: {error.strerror}; fix: make the file readable")

    def found(self, path: str, *bases: str) -> str:
        """The first file that a path as written names below some folders; "" for none, or one outside the root.

        Args:
            path: As an annotation has it; backslashes count as slashes.
            bases: Folders below the root.
        """
        for base in bases:
            tried = inside(base, path)
            if tried in self.files:
                return tried
        return ""


def inside(base: str, path: str) -> str:
    """A path as written, below a folder: without `.`, `..` and backslashes; it may still begin with `..`."""
    return posixpath.normpath(posixpath.join(base, path.replace("\\", "/"))) if path else ""


def stem_of(path: str) -> str:
    """A path without its ending."""
    return posixpath.splitext(path)[0]


def by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths by their last part without its ending."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[stem_of(posixpath.basename(path))].append(path)
    return found


def part_in(path: str) -> str:
    """The split that the folders of a path name: the outermost that says nothing else, or else that says one at all."""
    folders = path.split("/")[:-1]
    plain = next((part_of(folder) for folder in folders if is_plain(folder)), "")
    return plain or next((part for folder in folders if (part := part_of(folder))), "")


def parts_of(paths: Iterable[str]) -> dict[str, str]:
    """The split of each path that has one by its folders; none at all unless some of them are for training."""
    found = {path: part for path in paths if (part := part_in(path))}
    return found if "train" in found.values() else {}


def _is_wanted(name: str) -> bool:
    return is_image(name) or ending_of(name) in _ANNOTATING
