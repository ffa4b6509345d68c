"""How much memory is free."""

from __future__ import annotations

from pathlib import Path


def available_bytes() -> int | None:
    """Memory that can be had without swapping, in bytes; None where the system does not say (only Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
