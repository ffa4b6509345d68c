"""Tables of a run folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from fewer.core.errors import ResourceError
from fewer.runs.record import inert, publish, publishing


@pytest.mark.parametrize(
    ("text", "expected"),
    [("=1+2", "'=1+2"), ("-x", "'-x"), ("@a", "'@a"), (" +a", "' +a"), ("cat", "cat"), ("a=b", "a=b"), ("", "")],
)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert inert(text, "'") == expected


def test_a_disk_that_cannot_be_written_to_is_an_error_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only mount, where even removing what is not there fails."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    for write in (lambda path: publish(path, "text"), lambda path: publishing(path).__enter__()):
        with pytest.raises(ResourceError, match=r"o\.csv: cannot be written: Read-only file system"):
            write(tmp_path / "o.csv")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"x\.csv: there is no folder .*none; make it, or give another path"):
        publish(tmp_path / "none" / "x.csv", "")
