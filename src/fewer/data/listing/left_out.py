"""Folders and files that are nobody's images: hidden ones, those of systems and NAS devices, and run folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

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
    """

    system: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)

    def add_hidden(self, path: str) -> None:
        """Remembers a path that is not visible, if a folder of a system is why."""
        if found := _OF_SYSTEM.match(path):
            self.system.add(found[0])

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
        return [
            f"left out: {len(paths):,} folder{'' if len(paths) == 1 else 's'} {what} (first: {min(paths)}/)"
            for paths, what in kinds
            if paths
        ]
