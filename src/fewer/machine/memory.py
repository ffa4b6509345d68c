"""Memory: how a process allocates it (set once, before torch is imported), what is free, and what a device holds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from fewer.core.ledger import peak_memory_bytes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_KEEP_BYTES = 2**31 - 1
_TOP_PAD_BYTES = 64 * 2**20
CONTROL_GROUP = Path("/sys/fs/cgroup")  # that of a container, as seen from within
_NO_LIMIT_BYTES = 2**60  # version 1 says "none" by a number
USABLE = 0.8  # of the free memory, for a step and the images: other programs want some, too


def keep_freed_memory() -> None:
    """Has glibc keep freed memory, and torch ask for huge pages.

    A training step frees and allocates the same hundreds of megabytes. By default each such block goes back to the
    system and every page of it is cleared and mapped again, which costs a large share of a CPU step (measured in
    benchmarks/allocator.py). Nothing happens on systems without glibc.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEEP_BYTES), (_M_TOP_PAD, _TOP_PAD_BYTES)):
            mallopt(option, value)


def available_bytes() -> int | None:
    """Memory that can be had without swapping, in bytes, in a container within its limit.

    None where the system does not say; only Linux does.
    """
    limit, used = container_memory()
    left = None if limit is None else max(0, limit - (used or 0))
    return min((value for value in (machine_bytes(), left) if value is not None), default=None)


def machine_bytes() -> int | None:
    """As `available_bytes`, of the machine as a whole."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def container_memory(group: Path = CONTROL_GROUP) -> tuple[int | None, int | None]:
    """Limit and use of the control group, by version 1 or 2, in bytes; None without a limit.

    Files that the system keeps in memory count as free: it gives them up when memory is wanted.
    """
    for limit, used, files in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            value = int((group / limit).read_text())
            if value >= _NO_LIMIT_BYTES:
                return None, None
            return value, max(0, int((group / used).read_text()) - _cached_bytes(group / files))
        except (OSError, ValueError):
            continue
    return None, None


def _cached_bytes(stat: Path) -> int:
    """What a group's files take in memory; version 1 calls it total where the groups below count."""
    try:
        found = dict(line.split() for line in stat.read_text().splitlines())
        names = ("active_file", "inactive_file")
        return sum(int(found.get(f"total_{name}", found.get(name, 0))) for name in names)
    except (OSError, ValueError):
        return 0


def resident_bytes() -> int:
    """Memory that this process has now, in bytes; the most that it had, where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_memory_bytes()


def device_memory_bytes(device: str) -> int:
    """Memory that torch holds on a device for this process, with what its allocator keeps for later, in bytes.

    Args:
        device: "cuda": the most since the process began; "cpu": 0, since that is the process's own memory.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_reserved()
    return 0
