"""Kinds of sources of images, one file each: `data.source` begins with the name of one.

A kind's file has `FORMS`, the texts that name such a source, and `opened(text, place)`, which lists one; `place` is
what follows the colon, "" without one. A kind whose classes are folders has `CLASS_FOLDERS = True`, and its `opened`
takes `class_level` as well (`fewer.data.listing.class_folders`); one whose `opened` takes `ignore_index` has `IGNORES =
True`, and one whose files may mark objects as difficult has `DIFFICULT = True`; one whose images may have masks has
`MASKS = True`. A `PATH` or `FOLDER` in a form may be relative. What needs another rule has a function `absolute(place,
base)`; what is fetched into files here has `stands_for(place)`, the kind of these. Listing needs no torch. Installed
packages add kinds through the entry point group `fewer.sources`; what kinds share lies in `fewer.data.reading`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from fewer.core.annotation_keys import Difficult
from fewer.core.errors import DataError
from fewer.core.registry import Registry
from fewer.data.annotations.detect import kind_of
from fewer.data.decode.formats import is_image
from fewer.data.listing.class_folders import ClassLevel
from fewer.data.listing.walk import is_folder
from fewer.data.reading.source import Source as Source
from fewer.data.reading.source import Stamp as Stamp

SOURCES = Registry("fewer.data.sources", "kind of source", "fewer.sources")


def kinds() -> list[str]:
    """The names of all kinds: what a source's text begins with."""
    return SOURCES.names()


def forms() -> list[str]:
    """How sources are written, such as `digits` and `folder:PATH`."""
    return [form for kind in kinds() for form in SOURCES.module(kind).FORMS]


def is_source(text: str) -> bool:
    """Whether a text is written as a source; nothing is opened."""
    kind, colon, place = text.partition(":")
    if kind not in kinds() or (colon and not place):
        return False
    return any((":" in form) == bool(colon) for form in SOURCES.module(kind).FORMS)


def has_class_folders(text: str) -> bool:
    """Whether the classes of the source that a text names are folders."""
    return is_source(text) and getattr(SOURCES.module(text.partition(":")[0]), "CLASS_FOLDERS", False)


def form_of(text: str) -> str:
    """The kind of a source; for one that is fetched from elsewhere, the kind that the same files here would be."""
    kind, _, place = text.partition(":")
    stands_for = getattr(SOURCES.module(kind), "stands_for", None) if is_source(text) else None
    return str(stands_for(place)) if stands_for else kind


def ignores(text: str) -> bool:
    """Whether the source that a text names has masks, of which an id can be called void."""
    return is_source(text) and getattr(SOURCES.module(text.partition(":")[0]), "IGNORES", False)


def marks_difficult(text: str) -> bool:
    """Whether the files of the source that a text names may mark objects as difficult."""
    return is_source(text) and getattr(SOURCES.module(text.partition(":")[0]), "DIFFICULT", False)


def has_masks(text: str) -> bool:
    """Whether the images of the source that a text names may have masks."""
    return is_source(text) and getattr(SOURCES.module(text.partition(":")[0]), "MASKS", False)


def open_source(
    text: str, class_level: ClassLevel = "auto", ignore_index: int | None = None, difficult: Difficult = "train"
) -> Source:
    """Lists the source that a text such as `digits` or `folder:PATH` names; `forms` has all.

    Args:
        text: The source.
        class_level: Which folder is the class, where classes are folders.
        ignore_index: The id of masks that is void, in place of what is void by its name.
        difficult: What becomes of objects that are marked as difficult; see `ObjectTable`.

    Raises:
        DataError: No such kind; missing, unreadable, damaged or empty; no classes.
    """
    if not is_source(text):
        raise DataError(no_data(text))
    kind, _, place = text.partition(":")
    options: dict[str, object] = {"class_level": class_level} if has_class_folders(text) else {}
    if ignore_index is not None and ignores(text):
        options["ignore_index"] = ignore_index
    source: Source = SOURCES.module(kind).opened(text, place, **options)
    source.set_difficult(difficult)
    return source


def absolute(text: str, base: Path) -> str:
    """The same source, with a path that does not depend on the current folder; any other text as it is.

    A bare path of a folder or a file becomes a source: `photos` is `folder:/home/me/photos`.

    Raises:
        OSError, ValueError, RuntimeError: The path is none.
    """
    text = named(text, base)
    kind, _, place = text.partition(":")
    if not place or not is_source(text):
        return text
    own = getattr(SOURCES.module(kind), "absolute", None)
    return f"{kind}:{own(place, base) if own else (base / Path(place).expanduser()).resolve()}"


def named(text: str, base: Path) -> str:
    """The source that a bare path of a folder, of lists, of annotations or of a tar means; other texts unchanged."""
    if is_source(text) or text in ("", "auto", "none"):
        return text
    place = os.path.join(base, os.path.expanduser(text))
    kind = _kind_at(place)
    if kind == "folder" and (within := _only_folder(place)) and (held := kind_of(f"{place}/{within}")):
        return f"{held}:{os.path.join(text, within)}"
    return f"{kind}:{text}" if kind else text


def _only_folder(place: str) -> str:
    """The only folder in a folder, as archives are unpacked; "" where there is another, or an image."""
    try:
        with os.scandir(place) as scan:
            found = [entry for entry in scan if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    except OSError:
        return ""
    folders = [entry.name for entry in found if is_folder(entry)]
    return folders[0] if len(folders) == 1 and not any(is_image(entry.name) for entry in found) else ""


def _kind_at(place: str) -> str:
    """The kind of what lies at a path; "" for nothing that is one."""
    if os.path.isdir(place):
        if all(os.path.isfile(f"{place}/{name}") for name in ("split.json", "train.csv")):
            return "lists"
        return kind_of(place) or "folder"
    endings = {".tar": "tar", ".json": "coco", ".yaml": "yolo", ".yml": "yolo"}
    return endings.get(os.path.splitext(place)[1], "") if os.path.isfile(place) else ""


def allowed(text: str) -> str:
    """What may be written in place of a text that is no source, and the likeliest fix."""
    kind = text.partition(":")[0]
    near = difflib.get_close_matches(kind, kinds(), n=1, cutoff=0.6)
    if os.path.isdir(text):
        fix = f"folder:{text}"
    elif text.endswith(".tar"):
        fix = f"tar:{text}"
    else:
        fix = SOURCES.module(near[0]).FORMS[0] if near else "folder:PATH"
    return f"allowed: {', '.join(forms())}; fix: {fix}"


def neither(place: str) -> str:
    """What is wrong with a place on the command line that is neither a recipe's file nor images."""
    return no_data(place, "neither a recipe, nor images")


def no_data(text: str, is_none: str = "names no data") -> str:
    """What is wrong with a text that is no source.

    Args:
        text: The text.
        is_none: What to say of one that is no missing path either.
    """
    is_drive = re.match(r"[A-Za-z]:[\\/]", text)
    if os.path.exists(text) or (":" in text and not is_drive):
        return f"{text}: {is_none}; {allowed(text)}"
    if not is_drive and difflib.get_close_matches(text, kinds(), n=1, cutoff=0.6):
        return f"{text}: no such file or folder; {allowed(text)}"
    fix = "check the path"
    if "\\" in text:
        fix += "; folders are separated by / here, and under WSL C:\\Users is /mnt/c/Users"
    return f"{text}: no such file or folder; fix: {fix}, or name a source: {', '.join(forms())}"
