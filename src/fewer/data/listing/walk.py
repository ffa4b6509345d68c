"""A walk through a folder and those below it, as sources of files list them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fewer.core.errors import DataError
from fewer.data.listing.left_out import LeftOut, is_run, is_visible


class Level(NamedTuple):
    """What lies in one folder itself.

    Attributes:
        below: Path of the folder below the root, ending in `/`; "" for the root.
        files: Name, bytes and time of modification (ns since 1970) of each file that is wanted, sorted by name.
        folders: Paths of the folders in it, below the root.
    """

    below: str
    files: list[tuple[str, int, int]]
    folders: list[str]


def levels(root: str, wanted: Callable[[str], bool], left_out: LeftOut) -> Iterator[Level]:
    """Every folder from the root on, each before those inside it; links are followed, run folders left out.

    Args:
        root: Absolute path.
        wanted: Whether a file of a name is listed.
        left_out: Where hidden files and those that are not wanted are noted.

    Raises:
        DataError: A folder cannot be read, links back to one above it, or holds a pipe or a device.
    """
    return _below(root, "", (), wanted, left_out)


def _below(
    root: str, below: str, above: tuple[str, ...], wanted: Callable[[str], bool], left_out: LeftOut
) -> Iterator[Level]:
    here = f"{root}/{below}"
    above = (*above, os.path.realpath(here))
    if above[-1] in above[:-1]:
        raise _unreadable(root, f"{here} links back to a folder above it")
    level = Level(below, [], [])
    try:
        with os.scandir(here) as scan:
            for entry in scan:
                if not is_visible(entry.name):
                    left_out.add_hidden(below + entry.name)
                elif entry.is_dir():
                    level.folders.append(below + entry.name)
                elif wanted(entry.name):
                    status = entry.stat()
                    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                        raise _unreadable(root, f"{below}{entry.name} is no regular file")
                    level.files.append((entry.name, status.st_size, status.st_mtime_ns))
                else:
                    left_out.add_file(below + entry.name)
    except OSError as error:
        raise _unreadable(root, f"{error.filename}: {error.strerror}") from error
    level.files.sort()
    yield level
    for path in level.folders:
        if is_run(f"{root}/{path}"):
            left_out.runs.add(path)
        else:
            yield from _below(root, f"{path}/", above, wanted, left_out)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one that can be followed."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to below a folder that may not be read
        return False


def _unreadable(root: str, what: str) -> DataError:
    return DataError(f"{root}: {what}; allowed: readable folders and files; fix: check path and rights")
