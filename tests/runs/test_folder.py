"""The run folder's lock."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fewer.core.errors import RecipeError, ResourceError
from fewer.runs import lock
from fewer.runs.folder import RunFolder


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", flock)


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.lock()
    with pytest.raises(RecipeError, match=f"another process is training in this folder .process {os.getpid()} on"):
        second.lock()
    first.release()
    second.lock()
    second.release()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_disk_without_locks_is_told_of_once_and_written(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(monkeypatch, number)
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.lock()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "knows no locks" in said
    folder.file("a", "b")
    folder.release()


def test_a_disk_that_fails_is_no_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EIO)
    with pytest.raises(ResourceError, match="cannot write here: Input/output error"):
        RunFolder(tmp_path).lock()
