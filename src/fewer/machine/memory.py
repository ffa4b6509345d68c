"""Memory: how a process allocates it (set once, before torch is imported), what is free, and what a device holds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_KEEP_BYTES = 2**31 - 1
_TOP_PAD_BYTES = 64 * 2**20
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
    """Memory that can be had without swapping, in bytes; None where the system does not say (only Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def device_memory_bytes(device: str) -> int:
    """Memory that torch holds on a device for this process, with what its allocator keeps for later, in bytes.

    Args:
        device: "cuda": the most since the process began; "mps": what is held now, since Metal keeps no highest value;
            "cpu": 0, since that is the process's own memory.
    """
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    if device == "mps":
        return torch.mps.driver_allocated_memory()
    return 0
