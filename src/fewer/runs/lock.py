"""Locks of files: how one process keeps others out, on file systems that know locks."""

from __future__ import annotations

import errno
import fcntl
from typing import IO

_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # what some network disks say to every lock


def lock_alone(file: IO[bytes]) -> bool:
    """Locks an open file for this process alone, until it is closed.

    Returns:
        Whether it is locked; False where the file system knows no locks.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The disk is at fault.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True
