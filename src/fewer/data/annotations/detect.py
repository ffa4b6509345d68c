"""The kind of annotations that a folder holds, by a short look at the files that only such folders have."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator
from itertools import islice

from fewer.data.annotations.draft import number
from fewer.data.annotations.masks import folders_of, pair_of
from fewer.data.annotations.tree import part_in, stem_of
from fewer.data.decode.formats import ending_of, is_image
from fewer.data.listing.walk import is_folder

_FOLDERS_MAX, _FILES_MAX = 40, 400  # of each folder that are looked at
_DEPTH = 3
_HEAD = 4096
_YAML = ("data.yaml", "data.yml", "dataset.yaml")


def kind_of(folder: str) -> str:
    """`coco`, `voc`, `yolo` or `masks`, where a folder clearly holds such annotations; else ""."""
    if not os.path.isdir(folder):
        return ""
    files = list(_some_files(folder))
    if any(_is_coco(folder, path) for path in files if path.endswith(".json")):
        return "coco"
    xml = [path for path in files if ending_of(path) == "xml" and _is_near(path)]
    if any("<annotation" in _head(folder, path) for path in xml[:20]):
        return "voc"
    if _is_yolo(folder, files):
        return "yolo"
    if _has_masks(files):
        return "masks"
    # These names are VOC's alone: what lacks its XML files is no folder of two classes.
    return "voc" if all(os.path.isdir(f"{folder}/{name}") for name in ("JPEGImages", "Annotations")) else ""


def _some_files(folder: str) -> Iterator[str]:
    """Paths of the first files of the folders down to a depth."""
    waiting = [("", 0)]
    while waiting:
        below, depth = waiting.pop(0)
        folders: list[str] = []
        files = 0
        with contextlib.suppress(OSError), os.scandir(f"{folder}/{below}") as scan:
            for entry in islice(scan, 4 * _FILES_MAX):
                if entry.name.startswith("."):
                    continue
                if is_folder(entry):
                    folders.append(f"{below}{entry.name}/")
                elif files < _FILES_MAX or not is_image(entry.name):
                    files += 1
                    yield below + entry.name
        if depth < _DEPTH:
            waiting += [(path, depth + 1) for path in sorted(folders)[:_FOLDERS_MAX]]


def _is_near(path: str) -> bool:
    """Whether a file lies in the data set itself, rather than in one of several that lie in the folder."""
    return path.count("/") < 2 or bool(part_in(path))


def _head(folder: str, path: str) -> str:
    with contextlib.suppress(OSError), open(f"{folder}/{path}", "rb") as file:
        return file.read(_HEAD).decode(errors="replace")
    return ""


def _is_coco(folder: str, path: str) -> bool:
    name = posixpath.basename(path)
    if name == "_annotations.coco.json" or (name.startswith("instances_") and "annotations" in path.lower()):
        return True
    head = _head(folder, path).lstrip()
    named = sum(f'"{key}"' in head for key in ("images", "annotations", "categories", "file_name", "licenses"))
    return head.startswith("{") and named >= 2


def _is_yolo(folder: str, files: list[str]) -> bool:
    """Whether a file of names is there, or a folder `labels`, and a text beside an image or in it holds boxes."""
    named = any(posixpath.basename(path) in (*_YAML, "obj.names", "classes.txt") for path in files)
    stems = {posixpath.basename(stem_of(path)) for path in files if is_image(path)}
    texts = [path for path in files if path.endswith(".txt") and posixpath.basename(stem_of(path)) in stems]
    if not named:
        texts = [path for path in texts if "labels" in path.lower().split("/")[:-1]]
    for path in texts[:20]:
        lines = _head(folder, path).splitlines()
        first = lines[0].split() if lines else []
        if len(first) >= 5 and first[0].isdigit() and all(number(text) is not None for text in first):
            return True
    return False


def _has_masks(files: list[str]) -> bool:
    folders = folders_of(files)
    pairs = [pair_of(path, folders) for path in files if is_image(path)]
    pictures = {key for key, is_mask in pairs if not is_mask}
    return any(is_mask and key in pictures for key, is_mask in pairs)
