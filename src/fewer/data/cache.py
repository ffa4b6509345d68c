"""The folder of this user in which things are kept that can be had again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`fewer` below `XDG_CACHE_HOME`, or below `~/.cache`; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "fewer"
