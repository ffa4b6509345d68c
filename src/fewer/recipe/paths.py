"""The keys of a recipe that name images or files, and the rule where relative paths in them start.

Those in a file start at its folder; those typed on the command line, at the current one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewer.core.messages import KeyPath
from fewer.data import sources

SOURCES: tuple[KeyPath, ...] = (("data", "source"), ("data", "test"), ("data", "val"))
FILES: tuple[KeyPath, ...] = (
    ("data", "labels", "csv"),
    ("data", "store"),
    ("model", "weights"),
    ("select", "reference"),
)
NO_FILE = ("none", "default", "auto", "")  # values of a key of files that name none


def absolute(key: KeyPath, text: str, base: Path) -> str:
    """The value of a key with a path that does not depend on the current folder; `~` is the home folder.

    Args:
        key: One of `SOURCES` or `FILES`.
        text: Its value.
        base: Where a relative path starts.

    Raises:
        OSError, ValueError, RuntimeError: The path is none.
    """
    if key in SOURCES:
        return sources.absolute(text, base)
    return text if text in NO_FILE else str((base / Path(text).expanduser()).resolve())


def all_absolute(value: Any, base: Path, at: KeyPath = ()) -> Any:
    """A part of a recipe's content with absolute paths; one that is no path stays, for the check of the whole.

    Args:
        value: The part: of a section, or the value of a key.
        base: Where relative paths start.
        at: Where in the recipe the part belongs.
    """
    if isinstance(value, str) and at in (*SOURCES, *FILES):
        try:
            return absolute(at, value, base)
        except (OSError, ValueError, RuntimeError):
            return value
    if isinstance(value, Mapping):
        return {key: all_absolute(each, base, (*at, key)) for key, each in value.items()}
    return value
