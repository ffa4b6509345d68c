"""The tie between a rank and the launcher that started it: a rank whose launcher is gone saves, and ends."""

from __future__ import annotations

import os
import signal
import sys

LAUNCHER = "FEWER_LAUNCHER"  # the launcher's process id, in the environment of its ranks
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h: the signal that a process gets when its parent ends


def end_with_launcher() -> None:
    """Asks for SIGTERM once our launcher is gone, however it ended; on Linux only, and for the ranks of `--devices`."""
    launcher = os.environ.pop(LAUNCHER, "")  # a process that this one starts has another parent
    if not launcher or sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if str(os.getppid()) != launcher:  # gone already
        os.kill(os.getpid(), signal.SIGTERM)


__all__ = ["LAUNCHER", "end_with_launcher"]
