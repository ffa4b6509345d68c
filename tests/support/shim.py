"""Faults at a chosen call into the file system: death, half a write, or an error.

`calls(act)` counts the calls that `act` makes; `faulty(act, at, fault)` lets the one with number `at` go wrong.
Everything through which Python can change a file system is wrapped, and an audit hook fails what slips by.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

Act = Callable[[], object]

_CALLS = ("open", "write", "fsync", "close", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "symlink")
_GROWS = ("open", "write", "fsync", "mkdir", "symlink")  # what a full disk refuses
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_REAL = {name: getattr(os, name) for name in _CALLS} | {"io.open": io.open}
_allowed: list[str] = []  # the calls that are going on through the shim
_audited: list[bool] = []


class Shim:
    """Stands between Python and the file system while it is entered.

    Args:
        at: Number of the call that goes wrong, from 0; None: none does.
        fault: "kill" before the call, "half" of a write and then death, or "full" and "read-only": from that call on
            everything that a full or a read-only disk refuses fails.
    """

    def __init__(self, at: int | None = None, fault: str = "kill") -> None:
        self.at, self.fault = at, fault
        self.names: list[str] = []

    def __enter__(self) -> Shim:
        for name in _CALLS:
            setattr(os, name, self._wrapped(name))
        io.open = self._wrapped("io.open")
        return self

    def __exit__(self, *_: object) -> None:
        for name in _CALLS:
            setattr(os, name, _REAL[name])
        io.open = _REAL["io.open"]

    def _wrapped(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            number = len(self.names)
            self.names.append(name)
            if self.at is not None and number >= self.at:
                self._go_wrong(name, number, args)
            _allowed.append(name)
            try:
                return _REAL[name](*args, **kwargs)
            finally:
                _allowed.pop()

        return call

    def _go_wrong(self, name: str, number: int, args: tuple[Any, ...]) -> None:
        if self.fault in ("kill", "half"):
            if self.fault == "half" and name == "write":
                _REAL["write"](args[0], bytes(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        writes = name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR)
        if self.fault == "full" and name in _GROWS and writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fault == "read-only" and name != "close" and writes:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def _audit(event: str, args: tuple[Any, ...]) -> None:
    opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    entered = os.open is not _REAL["open"]
    if (opened or event in _CHANGES) and entered and not _allowed:
        raise AssertionError(f"{event}{args} does not go through the shim")


def calls(act: Act) -> list[str]:
    """Names of the calls that `act` makes, in order; only in a process that ends soon, as audit hooks stay."""
    shim = Shim()
    if not _audited:
        _audited.append(True)
        sys.addaudithook(_audit)
    with shim:
        act()
    return shim.names


def killed(act: Act, at: int, fault: str = "kill") -> None:
    """Runs `act` in a forked process that dies at a call, or not at all if it makes fewer."""
    pid = os.fork()
    if pid == 0:
        try:
            with Shim(at, fault):
                act()
        finally:
            os._exit(3)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the process outlived its call"
