"""Paths that a file of labels names images by, matched with those of a source."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

_ABSOLUTE = re.compile(r"(?:[A-Za-z]:)?/")


def below_train(path: str) -> str:
    """A path below its folder `train/`, where it has one that holds folders; composed, with forward slashes."""
    folders = unicodedata.normalize("NFC", path).removeprefix("./").split("/")
    start = folders.index("train") + 1 if "train" in folders[:-2] else 0
    return "/".join(folders[start:])


def ids_of(paths: Sequence[str], id_of: Mapping[str, int], root: str) -> list[int]:
    """The id of every path; -1 for what is not in the source.

    Backslashes are taken for slashes. Absolute paths are taken below the source's own folder; a file that holds nothing
    else was written where the data lay elsewhere, and all its paths lose the same leading folders.

    Args:
        paths: As the file has them.
        id_of: Ids by path, as `below_train` gives it.
        root: Where the source lies.
    """
    slashed = [path if below_train(path) in id_of else path.replace("\\", "/") for path in paths]
    inside = [path.removeprefix(f"{root}/") for path in slashed]
    found = [id_of.get(below_train(path), -1) for path in inside]
    if paths and all(id < 0 and _ABSOLUTE.match(path) for id, path in zip(found, inside, strict=True)):
        folders = _moved(inside[0], id_of)
        return [id_of.get(below_train(path.removeprefix(folders)), -1) if folders else -1 for path in inside]
    return found


def _moved(path: str, id_of: Mapping[str, int]) -> str:
    """The leading folders without which a path is one of the source's, of a class folder and a file at least."""
    ends = [i + 1 for i, letter in enumerate(path) if letter == "/"]
    return next((path[:end] for end in ends[:-1] if below_train(path[end:]) in id_of), "")
