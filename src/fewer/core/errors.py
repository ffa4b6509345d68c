"""The errors that a user can meet, each with its exit code.

An error message says what is wrong, where, the value, what is allowed, and one fix. Exit code 1 is left for
bugs: anything that is not a `FewerError`.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ADDRESS_WITH_SECRET = re.compile(r"s3://[^\s\"']*@")  # an address that is refused, and must not be repeated


class FewerError(Exception):
    """Base of every error that is the user's to mend."""

    exit_code = 1


def printable(text: str) -> str:
    """A text without control characters: what comes from files and file names must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class RecipeError(FewerError):
    """The recipe or the command line is wrong; all problems are reported at once.

    Args:
        problems: One line each, already complete: where, what, what is allowed, one fix.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        texts = [problems] if isinstance(problems, str) else problems
        self.problems = [_ADDRESS_WITH_SECRET.sub("s3://***@", text) for text in texts]
        super().__init__("\n".join(self.problems))


class UsageError(FewerError):
    """A call that does not fit what was called before, or an argument that cannot be meant."""

    exit_code = 2


class DataError(FewerError):
    """A source is missing, empty, unreadable, or not the one that the run began with."""

    exit_code = 3


class DivergedError(FewerError):
    """The loss is no longer finite; the last good checkpoint is kept."""

    exit_code = 4


class CheckpointError(FewerError):
    """No intact checkpoint is left, or it belongs to another plan."""

    exit_code = 5


class ResourceError(FewerError):
    """Disk or memory does not suffice, or the run folder cannot be written."""

    exit_code = 6


class RemoteError(FewerError):
    """Object storage cannot be reached, refuses, or holds less than it should; nothing is lost on this machine."""

    exit_code = 7


class CopyIncomplete(RemoteError):
    """A run is done, but its copy is not.

    Args:
        message: What to tell the user.
        folder: The run folder, which is whole.
        result: The run's result.
    """

    def __init__(self, message: str, folder: Path, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.folder, self.result = folder, result


PREEMPTED = 75  # stopped by SIGTERM, or at the end of a sitting, after saving; `fewer resume` goes on
INTERRUPTED = 130  # stopped by Ctrl-C after saving
EXIT_CODES = {signal.SIGTERM: PREEMPTED, signal.SIGINT: INTERRUPTED}


class Stopped(FewerError):
    """Stopped by a signal, or at the end of a sitting; `fewer resume` goes on.

    Args:
        message: What to tell the user.
        exit_code: `PREEMPTED` or `INTERRUPTED`.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    @classmethod
    def by(cls, number: int, where: str) -> Stopped:
        """The error of what a signal stopped, one of `EXIT_CODES`."""
        name = signal.Signals(number)
        return cls(f"stopped by {name.name} {where}", EXIT_CODES[name])

    @property
    def state(self) -> str:
        """What `status.json` calls such a run."""
        return "preempted" if self.exit_code == PREEMPTED else "interrupted"
