"""Files from the network: whole and verified, or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from fewer.core.errors import DataError

_CHUNK = 1 << 20
_SECONDS = 30.0  # without a byte
_BYTES_MAX = 1 << 30


def md5_of(path: Path) -> str:
    """The MD5 of a file, as its publisher states it; it guards against damage."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch(url: str, path: Path, md5: str) -> None:
    """Downloads a file; it appears under its name only when all of it is there.

    Raises:
        DataError: No network, a server's refusal, a full disk, or other content than the hash says.
    """
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as out:
            part, got = Path(out.name), 0
            request = urllib.request.Request(url, headers={"User-Agent": "fewer"})
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                while chunk := answer.read(_CHUNK):
                    got += len(chunk)
                    if got > _BYTES_MAX:
                        raise OSError(f"more than {_BYTES_MAX:,} bytes came")
                    out.write(chunk)
        if (found := md5_of(part)) != md5:
            raise OSError(f"{got:,} bytes came with the md5 {found}")
        part.chmod(0o644)
        part.replace(path)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()  # a refusal comes with an open connection
        raise DataError(
            f"{path.name}: cannot be downloaded from {url}: {error}; fix: get this file elsewhere (md5 {md5}) and "
            f"place it in {path.parent}"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes a folder and keeps other processes out that come for the same files.

    Raises:
        DataError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; fix: give a folder that can be made and read") from error
    try:
        with contextlib.suppress(OSError):  # network disks know no locks, or none of folders: work may be done twice
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
