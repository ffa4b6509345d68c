"""The folder of this user in which things are kept that can be had again."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """`fewer` below `XDG_CACHE_HOME`, or below `~/.cache`; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "fewer"


def keep(file: Path, content: bytes) -> None:
    """Publishes a file by rename, with its folder; what cannot be kept only costs time, and leaves nothing behind."""
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".new-", delete=False) as out:
            temporary = Path(out.name)
            out.write(content)
        temporary.replace(file)
    except OSError:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
