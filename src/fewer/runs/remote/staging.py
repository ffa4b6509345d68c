"""A run folder at one moment, held fast by hard links: training goes on writing and removing, the copy stays whole."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fewer.runs.checkpoint import newest_first
from fewer.runs.remote.layout import is_path

# What a file system says that has no hard links, or no more for this file; some of FUSE know no such call.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}

HELD = ".remote"  # below the run folder, on the same disk
_LEFT_OUT = {"remote.json", "tensorboard"}  # of this machine; a mirror that a resumed run writes anew


@dataclass(frozen=True)
class Held:
    """What is to be copied.

    Attributes:
        folder: Where it is held.
        bytes_of: Path in the run folder to the bytes that count: a log may have grown since.
        links: Path of a link to the name of its neighbour.
    """

    folder: Path
    bytes_of: dict[str, int]
    links: dict[str, str]

    def release(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def hold(run: Path, name: str) -> Held:
    """Holds all that a run needs in order to go on elsewhere, and all that people look at: its newest checkpoint,
    published models, records, plots, previews and report.

    Args:
        run: The run folder.
        name: What the held state is called.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    into = run / HELD / name
    shutil.rmtree(into, ignore_errors=True)  # of a try that failed
    try:
        return _held(run, into)
    except OSError:
        shutil.rmtree(into, ignore_errors=True)  # a full disk needs the room
        raise


def sweep(run: Path) -> None:
    """Removes what a killed process has left held."""
    shutil.rmtree(run / HELD, ignore_errors=True)


def _held(run: Path, into: Path) -> Held:
    old = {path.name for path in list(newest_first(run / "checkpoints"))[1:]}
    held = Held(into, {}, {})
    for folder, inner, files in os.walk(run):
        below = Path(folder).relative_to(run)
        is_top, is_checkpoints = below == Path("."), below == Path("checkpoints")
        for entry in list(inner):
            path = below / entry
            if (Path(folder) / entry).is_symlink():
                held.links[path.as_posix()] = os.readlink(Path(folder) / entry)
                inner.remove(entry)
            elif not is_path(entry) or (is_top and entry in _LEFT_OUT) or (is_checkpoints and entry in old):
                inner.remove(entry)
        for entry in files:
            path = below / entry
            if is_path(path.as_posix()) and not (is_top and entry in _LEFT_OUT):
                _hold(Path(folder) / entry, into / path, path.as_posix(), held)
    folders = {Path(path).parents[0].as_posix() for path in held.bytes_of}
    links = {
        path: name
        for path, name in held.links.items()
        if is_path(path) and is_path(name) and "/" not in name and (Path(path).parent / name).as_posix() in folders
    }
    return Held(into, held.bytes_of, links)


def _hold(source: Path, target: Path, path: str, held: Held) -> None:
    if source.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        size = source.stat().st_size
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(source, target)
        held.bytes_of[path] = size
    except FileNotFoundError:
        return  # removed at this moment: no longer part of the run
