"""The run folder: what lies where, who may write it, and whether it can be written at all."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, final

from fewer.core.errors import RecipeError, ResourceError, Stopped, printable
from fewer.core.text import command
from fewer.runs.lock import lock_alone
from fewer.runs.record import publish, read_object, sweep, write_json

GIVEN, RESOLVED, MANIFEST = "recipe.given.toml", "recipe.resolved.toml", "data.tsv.gz"
STATUS, SUSPECTS, ORIGIN = "status.json", "suspects.csv", "origin.json"

_PROBE_BYTES = 1 << 20
_HOLDER_BYTES = 200  # of a lock's content, which names a process


# What a run leaves that ended before its first step; its record begins when training does.
_BEGINNINGS = {
    ".lock",
    ".probe",
    "checkpoints",
    GIVEN,
    RESOLVED,
    MANIFEST,
    "plan.json",
    "env.json",
    "quarantine.json",
    ORIGIN,
    ".remote",
    "remote.json",
    STATUS,
    "report.html",
}


def is_locked(folder: Path) -> bool:
    """Whether a process is training in a run folder; False where that cannot be known."""
    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def state_now(folder: Path, reported: object, is_done: bool) -> object:
    """What `status.json` reports, unless that is of a run which was killed before it could say so.

    Args:
        folder: The run folder.
        reported: Its `state`, whatever the file holds.
        is_done: Whether there is a result.
    """
    if reported == "running" and not is_locked(folder):
        return "done" if is_done else "killed"
    return reported


def planned_epochs(result: Mapping[str, Any]) -> int | None:
    """The epochs that a finished run was planned for, of which it has fewer where its patience was out.

    Args:
        result: The content of `result.json`; what is no result gives None.
    """
    try:
        shorter = result.get("amendments", {}).get("train.epochs")
        return int(shorter["old"] if shorter else result["epochs"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


@final
class RunFolder:
    """A run's folder on disk; only rank 0 writes it.

    Args:
        path: The folder.
        writes: Whether this process writes; every writing method does nothing otherwise.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self._lock: IO[bytes] | None = None

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def rows(self) -> Path:
        return self.path / "rows.jsonl"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    def create(self) -> None:
        """Makes a new folder.

        Raises:
            RecipeError: It exists already, with anything in it but the beginnings of a run that never trained.
            ResourceError: It cannot be made or written.
        """
        if not self.writes:
            return
        self.require_new()
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._probe()
        except OSError as error:
            raise ResourceError(
                f"{self.path}: cannot write here: {error.strerror}; give another folder with --out"
            ) from None
        self.lock()

    def is_free(self) -> bool:
        """Whether a new run may have the folder; one that cannot be looked into is for `create` to complain of."""
        try:
            if not self.path.exists():
                return True
            return self.path.is_dir() and not self._is_used() and not is_locked(self.path)
        except OSError:
            return True

    def require_new(self) -> None:
        """Refuses a folder that holds anything but the beginnings of a run that never trained.

        Raises:
            RecipeError: It does.
            ResourceError: It cannot be looked into.
        """
        try:
            used = self.path.exists() and (not self.path.is_dir() or self._is_used())
        except OSError as error:
            raise ResourceError(f"{self.path}: {error.strerror}; give another folder with --out") from None
        if used:
            raise RecipeError(
                f"{self.path}: the run folder exists; {command('fewer', 'resume', self.path)} goes on with it, "
                "or give another with --out"
            )

    def lock(self) -> None:
        """Makes sure that no other process writes the folder while this one lives, or says that nothing can.

        Raises:
            RecipeError: Another process does.
            ResourceError: The folder cannot be written.
        """
        if not self.writes or self._lock is not None:
            return
        try:
            self._lock = (self.path / ".lock").open("ab+", buffering=0)
            is_alone = lock_alone(self._lock)
        except BlockingIOError:
            holder = self._holder()
            self.release()
            raise RecipeError(
                f"{self.path}: another process is training in this folder{holder}; wait for it, or stop it"
            ) from None
        except OSError as error:
            self.release()
            raise ResourceError(f"{self.path}: cannot write here: {error.strerror}; check rights and disk") from None
        if not is_alone:
            print(
                f"{printable(str(self.path))}: this disk knows no locks: see to it that no second process trains here",
                file=sys.stderr,
            )
        with suppress(OSError):  # a disk that is full is complained of by what needs it
            self._lock.truncate(0)
            self._lock.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        sweep(self.path)

    def _holder(self) -> str:
        """Which process holds the lock, in parentheses; nothing where it has not said so."""
        said = ""
        if self._lock is not None:
            with suppress(OSError):
                self._lock.seek(0)
                said = printable(self._lock.read(_HOLDER_BYTES).decode(errors="replace"))
        return f" ({said})" if said else ""

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_barren(self) -> bool:
        """Whether no row of training has been written yet."""
        return self.writes and not self.rows.exists()

    def discard(self) -> None:
        """Removes what was made for nothing, and the folder if nothing else is in it."""
        self.release()
        if not self.writes:
            return
        for entry in self.path.iterdir():
            if entry.name in _BEGINNINGS - {"report.html"} or _is_temporary(entry.name):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def require_space(self, checkpoint_bytes: int, checkpoints: int) -> None:
        """Checks before training that the checkpoints will fit.

        Raises:
            ResourceError: They will not.
        """
        if not self.writes:
            return  # the folder may not be there yet: rank 0 makes it
        needed = round(1.2 * checkpoint_bytes * (checkpoints + 1))
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise ResourceError(
                f"{self.path}: {free / 1e6:.0f} MB free, but {checkpoints} checkpoints need about "
                f"{needed / 1e6:.0f} MB; "
                "free some space, give another folder with --out, or set out.keep = 1"
            )

    def file(self, name: str, content: str | bytes) -> None:
        """Publishes a file."""
        if self.writes:
            publish(self.path / name, content)

    def json(self, name: str, content: Any) -> None:
        """Publishes a JSON file."""
        if self.writes:
            write_json(self.path / name, content)

    def status(self, state: str, **more: Any) -> None:
        """Publishes `status.json`; a disk that has become full must not hide the error that is being reported."""
        try:
            self.json(STATUS, {"state": state, "pid": os.getpid(), "folder": str(self.path.resolve()), **more})
        except ResourceError:
            if state == "running":
                raise

    def amend_status(self, **more: Any) -> None:
        """Changes some keys of `status.json`; what is None is taken out, and what is not named stays as it was."""
        try:
            before = read_object(self.path / STATUS)
        except (OSError, ValueError):
            before = {}
        changed = {key: value for key, value in {**before, **more}.items() if value is not None}
        with suppress(ResourceError):
            self.json(STATUS, changed)

    def stopped(self, error: Stopped) -> None:
        """Puts into `status.json` that a signal stopped the run; where it stands, and lay, stays as it was."""
        self.amend_status(state=error.state, pid=os.getpid(), message=str(error), exit_code=error.exit_code)

    def origin(self) -> dict[str, Any]:
        """What `origin.json` says of the run that this one is a branch of; empty where it is none."""
        try:
            return read_object(self.path / ORIGIN)
        except (OSError, ValueError):
            return {}

    @property
    def exit_code(self) -> int | None:
        """The exit code in `status.json`; None where there is none, as in that of a run that is done."""
        try:
            code = read_object(self.path / STATUS).get("exit_code")
        except (OSError, ValueError):
            return None
        return code if isinstance(code, int) else None

    def recorded_place(self) -> Path | None:
        """Where the folder lay when its paths were written down; None if nothing says so."""
        try:
            place = read_object(self.path / STATUS).get("folder")
        except (OSError, ValueError):
            return None
        return Path(place) if isinstance(place, str) and os.path.isabs(place) else None

    def _is_used(self) -> bool:
        names = {entry.name for entry in self.path.iterdir() if not _is_temporary(entry.name)}
        return not names <= _BEGINNINGS or any(self.checkpoints.glob("*"))

    def _probe(self) -> None:
        probe = self.path / ".probe"
        try:
            with probe.open("wb") as file:
                file.write(b"\0" * _PROBE_BYTES)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


def _is_temporary(name: str) -> bool:
    """Whether a name is one that `fewer.runs.record.publish` writes under before it renames."""
    return re.fullmatch(r"\..+\.\d+\.tmp", name) is not None
