"""The folder that is the class of an image, where folders lie in folders: a stated rule, or a question."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from fewer.core.errors import DataError, printable
from fewer.data.listing.split_folders import Layout, base_of

ClassLevel = int | Literal["auto", "innermost"]
Path = tuple[str, ...]  # names of folders, below the split folder and what everything in it lies in

DEEPEST = 20  # level that can be asked for
_INNERMOST = -1
_SHOWN = 3


class Place(NamedTuple):
    """Where a folder of images belongs: its split ("" without splits), and the name of its class."""

    part: str
    label: str


@dataclass
class Classified:
    """Folders of images with split and class.

    Attributes:
        level: Which folder is the class, counted from 1; -1: the innermost.
        starts: The folder of each split that classes are counted from, ending in `/`; "" for the root.
        places: Split and class of every folder of images that is used.
        nested: Whether a folder of images lies in another one.
        notes: What the user should know.
    """

    level: int
    starts: dict[str, str]
    places: dict[str, Place] = field(default_factory=dict)
    nested: bool = False
    notes: list[str] = field(default_factory=list)


def classified(source: str, layout: Layout, holders: Sequence[str], asked: ClassLevel) -> Classified:
    """Finds the class of every folder of images.

    Args:
        source: What to call the source in messages.
        layout: Which folders are splits.
        holders: Folders that hold images themselves, sorted.
        asked: The user's choice; see `_level`.

    Raises:
        DataError: There are several ways to read the folders, images lie above the class folders, or a class has a
            name that is no text.
    """
    parts = {part: f"{layout.base}{top}/" for part, top in layout.folders.items()} or {"": layout.base}
    inside = {part: [holder for holder in holders if holder.startswith(start)] for part, start in parts.items()}
    nested = _nested(source, [holder for each in inside.values() for holder in each], asked)
    found = Classified(0, {}, nested=nested)
    known: frozenset[str] = frozenset()
    for part in ("train", "", "val", "test"):
        if part not in parts:
            continue
        start = parts[part] + base_of((holder[len(parts[part]) :] for holder in inside[part]), known)
        paths = {holder: tuple(holder[len(start) :].split("/")) for holder in inside[part]}
        if not found.level:
            found.level = _level(source, list(paths.values()), asked, found.notes)
            _note_merged(source, paths.values(), found)
        _require_depth(source, start, paths.values(), found.level)
        found.starts[part] = start
        at = found.level if found.level == _INNERMOST else found.level - 1
        found.places |= {holder: Place(part, path[at]) for holder, path in paths.items()}
        known |= {path[at] for path in paths.values()}
    _require_text(source, found.places)
    _join_spellings(found)
    return found


def _level(source: str, paths: Sequence[Path], asked: ClassLevel, notes: list[str]) -> int:
    """Which folder of a path is the class.

    `auto` takes the only one. Where classes keep their images in folders inside, it takes the outer one if another
    class holds its images itself (`cat/indoor`, `cat/outdoor`, `dog`), or if each has one such folder only
    (`n01/images`, `n02/images`). Anything else may be read in more ways than one, and is a question to the user.
    """
    if asked == "innermost":
        return _INNERMOST
    if asked != "auto":
        return asked
    if all(len(path) == 1 for path in paths):
        return 1
    inside: dict[str, set[str]] = {}
    for path in paths:
        inside.setdefault(path[0], set()).update(path[1:2])
    depth = min(map(len, paths))
    if depth > 1 and any(len(names) > 1 for names in inside.values()):
        raise _question(source, paths, depth, inside)
    example = next(path for path in paths if len(path) > 1)
    notes.append(
        f"folders inside class folders count as their class, such as {'/'.join(example)}/ as {example[0]!r}; "
        "data.class_level = 2 or more takes a folder further inside"
    )
    return 1


def _question(source: str, paths: Sequence[Path], depth: int, inside: Mapping[str, set[str]]) -> DataError:
    """Which folder is the class: what each answer would make, and what is likely where names come again."""
    answers = " or ".join(
        f"data.class_level = {level} ({_listed(path[level - 1] for path in paths)})" for level in range(1, depth + 1)
    )
    one, *more = sorted(inside)
    shared = next(((other, names) for other in more if (names := inside[one] & inside[other])), None)
    if shared is None:
        what, fix = f"which folder is the class? folders lie in folders (first: {'/'.join(paths[0])}/)", ""
    else:
        other, names = shared
        what = f"which folder is the class? {one}/ and {other}/ both hold {_listed(names)}, and are not mixed"
        whole = f'"{source}/{one}"' if source.startswith("folder:") else f"the folder {one}/ alone"
        fix = f"; or, if {one}/ and {other}/ are two forms of the same images, data.source = {whole}"
    return DataError(f"{source}: {what}; allowed: {answers}; fix: set data.class_level{fix}")


def _nested(source: str, holders: Sequence[str], asked: ClassLevel) -> bool:
    """Whether folders of images lie in folders of images; refused unless the user chose the level."""
    known = frozenset(holders)
    for inner in holders:
        outer = next((above for end in _ends(inner)[:-1] if (above := inner[:end]) in known), None)
        if outer is None:
            continue
        if isinstance(asked, int):
            return True
        raise DataError(
            f"{source}: images lie directly in {outer}/ and in {inner}/ inside it; allowed: images of a class either "
            f"in its folder or in folders inside; fix: move {inner}/ out of {outer}/, or set data.class_level = 1 to "
            f"take its images for {outer.rpartition('/')[2]!r}, too"
        )
    return False


def _require_depth(source: str, start: str, paths: Iterable[Path], level: int) -> None:
    """Refuses images above the class folders."""
    shallow = next((path for path in paths if len(path) < level), None)
    if shallow is not None:
        raise DataError(
            f"{source}: images lie directly in {start}{'/'.join(shallow)}/, but data.class_level = {level}; allowed: "
            f"at most {len(shallow)} there; fix: data.class_level = {len(shallow)}"
        )


def _require_text(source: str, places: Mapping[str, Place]) -> None:
    """Refuses classes whose name cannot be written into a file."""
    for holder, place in places.items():
        if not place.label.isascii() and any("\ud800" <= letter <= "\udfff" for letter in place.label):
            raise DataError(
                f"{source}: the name of class folder {printable(holder)}/ is no UTF-8 text (an old zip or another "
                f"encoding); allowed: names in UTF-8; fix: rename the folder"
            )


def _join_spellings(found: Classified) -> None:
    """One class for names that differ in nothing but how accents are encoded: composed, or letter by letter."""
    spellings: dict[str, set[str]] = {}
    for place in found.places.values():
        if not place.label.isascii():
            spellings.setdefault(unicodedata.normalize("NFC", place.label), set()).add(place.label)
    twice = {name for name, forms in spellings.items() if len(forms) > 1}
    if not twice:
        return
    for holder, (part, label) in found.places.items():
        if (name := unicodedata.normalize("NFC", label)) in twice:
            found.places[holder] = Place(part, name)
    found.notes.append(f"accents are encoded in two ways, but mean one class: {', '.join(sorted(twice))}")


def _note_merged(source: str, paths: Iterable[Path], found: Classified) -> None:
    """Says that class folders of one name lie in different places, where the user's choice of level mixes them."""
    folders = {path if found.level == _INNERMOST else path[: found.level] for path in paths}
    if len({path[-1] for path in folders}) < len(folders):
        found.notes.append(f"{source}: class folders of one name in different places are one class")


def refuse_empty(source: str, found: Classified, holders: Iterable[str], folders: Iterable[str]) -> None:
    """Refuses class folders that hold no images.

    Args:
        source: What to call the source in messages.
        found: What is a class.
        holders: Folders that hold images themselves.
        folders: All folders.

    Raises:
        DataError: There is such a folder.
    """
    empty = empty_classes(found, holders, folders)
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise DataError(
            f"{source}: class folder {empty[0]}/{more} holds no images; allowed: at least one image a class; "
            f"fix: add images to it or remove it"
        )


def empty_classes(found: Classified, holders: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The folders that stand where classes do and hold no images, sorted."""
    full = {holder[:end] for holder in holders for end in _ends(holder)}
    if found.level == _INNERMOST:
        siblings = {holder.rpartition("/")[0] for holder in found.places}
        return sorted(path for path in folders if path not in full and path.rpartition("/")[0] in siblings)
    depth_of = {start: start.count("/") + found.level - 1 for start in found.starts.values()}
    return sorted(
        path
        for path in folders
        if path not in full
        and any(path.count("/") == depth and path.startswith(start) for start, depth in depth_of.items())
    )


def _ends(path: str) -> list[int]:
    """Where each of the path's leading folders ends, the path itself included."""
    return [i for i, letter in enumerate(path) if letter == "/"] + [len(path)]


def _listed(names: Iterable[str]) -> str:
    found = sorted(set(names))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{', '.join(found[:_SHOWN])}{more}"
