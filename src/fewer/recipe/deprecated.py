"""Deprecated spellings of keys: what older recipes and run folders hold, read as today's keys with a note."""

from __future__ import annotations

from typing import Any

from fewer.core.messages import KeyPath

# Key paths as they were, and as they are.
MOVED: dict[KeyPath, KeyPath] = {
    ("out", "evaluate_every"): ("evaluate", "every"),
    ("out", "best_by"): ("evaluate", "best"),
    ("select", "guards", "batchnorm_images"): ("evaluate", "batchnorm_images"),
    ("task", "flip_tta"): ("task", "tta"),
}
# What some values of theirs are now.
_VALUES: dict[KeyPath, dict[bool, str]] = {("task", "flip_tta"): {True: "flip", False: "none"}}


def current(path: KeyPath) -> KeyPath:
    """A key path as it is now."""
    return MOVED.get(path, path)


def moved(content: dict[str, Any]) -> dict[KeyPath, KeyPath]:
    """Moves deprecated keys of a recipe's content to where they are now; a key that is given in both forms stays.

    Args:
        content: The recipe's content, which is changed.

    Returns:
        The paths that were moved, as they were, to those that they have now.
    """
    found = {}
    for old, new in MOVED.items():
        section = _section(content, old[:-1])
        target = content.setdefault(new[0], {}) if section is not None and old[-1] in section else None
        if section is None or not isinstance(target, dict) or new[-1] in target:
            continue
        value = section.pop(old[-1])
        target[new[-1]] = _VALUES.get(old, {}).get(value, value) if isinstance(value, bool) else value
        found[old] = new
    return found


def drop_other_spelling(content: dict[str, Any], path: KeyPath) -> None:
    """Takes a key out of a recipe's content where it is spelled in another way than now; a later value wins.

    Args:
        content: The recipe's content, which is changed.
        path: The key, as it is about to be set.
    """
    for pair in MOVED.items():
        if path in pair:
            other = pair[0] if path == pair[1] else pair[1]
            (_section(content, other[:-1]) or {}).pop(other[-1], None)


def _section(content: Any, path: KeyPath) -> dict[str, Any] | None:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else None
