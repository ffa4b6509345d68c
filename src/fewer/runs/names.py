"""Names of run folders: below `runs`, the first that is free."""

from __future__ import annotations

import itertools
from pathlib import Path

from fewer.core.errors import RecipeError
from fewer.core.text import command
from fewer.runs.folder import RunFolder

RUNS = Path("runs")


def named(name: str) -> Path:
    """The folder of a run's name.

    Raises:
        RecipeError: The name is a path, or none that a folder can have.
    """
    if not name.strip() or name in (".", "..") or not name.isprintable() or any(sign in name for sign in "/\\"):
        raise RecipeError(f'--name "{name}": a name is that of one folder below {RUNS}; --out takes any path')
    return RUNS / name


def free_number(folder: Path) -> int:
    """The smallest number by which a folder is free: 1 for the folder itself, 2 for `NAME-2`."""
    return next(number for number in itertools.count(1) if RunFolder(numbered(folder, number)).is_free())


def numbered(folder: Path, number: int) -> Path:
    """The folder, with a number behind its name from 2 on."""
    return folder if number == 1 else folder.with_name(f"{folder.name}-{number}")


def taken(folder: Path) -> str:
    """What a user is told whose run goes to another folder than the one that its name stands for."""
    resume = command("fewer", "resume", folder)
    return f"{folder} exists, so this run has a folder of its own; {resume} goes on with that one"
