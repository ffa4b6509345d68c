"""Files that a listing leaves out: hidden ones, those of systems and NAS devices, of runs, and of formats not read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fewer.core.errors import DataError
from fewer.data.decode.formats import ending_of, is_unread_image
from fewer.runs.folder import GIVEN, RESOLVED

RUN_FILES = (RESOLVED, GIVEN)
_SYSTEM = (
    "@eaDir", "#recycle", "@Recycle", "#snapshot", "@tmp", "lost+found", "System Volume Information", "$RECYCLE.BIN",
    "RECYCLER", "__pycache__",
)  # fmt: skip
_HIDDEN = re.compile(rf"(?:^|/)(?:\.|__MACOSX|(?:{'|'.join(map(re.escape, _SYSTEM))})(?=/|$))", re.IGNORECASE)
_OF_SYSTEM = re.compile(rf"(?:.*/)?(?:{'|'.join(map(re.escape, _SYSTEM))})(?=/|$)", re.IGNORECASE)


def is_visible(path: str) -> bool:
    """Whether no component is hidden (`.name`), macOS's shadow folder, or a folder of a system."""
    return not _HIDDEN.search(path)


def is_run(folder: str) -> bool:
    """Whether `fewer train` made the folder, or is about to fill it."""
    if any(os.path.exists(f"{folder}/{name}") for name in RUN_FILES):
        return True
    return os.path.exists(f"{folder}/.lock") and os.path.isdir(f"{folder}/checkpoints")


@dataclass
class LeftOut:
    """What a listing came across and left out, for its notes.

    Attributes:
        system: Paths of folders of systems.
        runs: Paths of run folders.
        unread: By ending, the number of images whose format is not read, and the first of them.
    """

    system: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    unread: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add_hidden(self, path: str) -> None:
        """Remembers a path that is not visible, if a folder of a system is why."""
        if found := _OF_SYSTEM.match(path):
            self.system.add(found[0])

    def add_file(self, path: str) -> None:
        """Counts a file that is not listed, if it looks like an image all the same."""
        if is_unread_image(path):
            count, first = self.unread.get(ending_of(path), (0, path))
            self.unread[ending_of(path)] = count + 1, min(first, path)

    @property
    def unread_note(self) -> str:
        """How many images of which formats are not read; "" for none."""
        found = ", ".join(f"{reason} (first: {first})" for first, reason in self.unread_formats())
        return f"left out, being of formats that are not read: {found}; save them as JPEG or PNG" if found else ""

    def unread_formats(self) -> list[tuple[str, str]]:
        """For each such format, the first file and how many there are."""
        return [(first, f"{count:,} .{ending}") for ending, (count, first) in sorted(self.unread.items())]

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Adds to a `DataError` which images are not read: a folder that holds no others looks empty."""
        try:
            yield
        except DataError as error:
            if not self.unread:
                raise
            raise DataError(f"{error}; {self.unread_note}") from None

    def in_run(self, path: str) -> bool:
        """Whether the path lies in a run folder."""
        return any(path.startswith(f"{run}/") for run in self.runs)

    def without_runs(self, folders: Iterable[str]) -> list[str]:
        """The folders less run folders and those above them, which are no empty class folders."""
        above = {run[:end] for run in self.runs for end in range(len(run) + 1) if run[end : end + 1] in ("/", "")}
        return [path for path in folders if path not in above and not self.in_run(path)]

    @property
    def notes(self) -> list[str]:
        """A sentence for each kind."""
        kinds = ((self.system, "of a system or network drive"), (self.runs, "of runs, which fewer train made"))
        folders = [
            f"left out: {len(paths):,} folder{'' if len(paths) == 1 else 's'} {what} (first: {min(paths)}/)"
            for paths, what in kinds
            if paths
        ]
        return [*folders, self.unread_note] if self.unread else folders
