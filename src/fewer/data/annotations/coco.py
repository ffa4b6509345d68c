"""COCO JSON: a file a split, as COCO itself, Roboflow, CVAT and Label Studio write it.

Categories may have any ids; classes are in the order of their ids, those of later files behind them. Roboflow's root
category, which has no box and is the supercategory of all others, is no class. An image without annotations is
background. An object without a box has the one around its polygons. Images are found by their file names below
whichever folder holds most of them, or by the last part of their names where no folder does.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fewer.core.errors import DataError
from fewer.data.annotations.draft import Draft, number, shown, whole
from fewer.data.annotations.tree import Tree, inside, part_in, stem_of
from fewer.data.listing.split_folders import part_of

_ROBOFLOW = "_annotations.coco.json"
_IMAGE_KEYS = ("id", "file_name", "width", "height")
_OBJECT_KEYS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "difficult")
_LISTS = ("images", "annotations", "categories")
_TRIED = 200  # file names by which the folder of the images is found
_KEY = (int, float, str)

Content = dict[str, list[Any]]


@dataclass
class _Categories:
    """The classes of all files."""

    names: list[str] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)

    def of(self, content: Content, path: str, draft: Draft) -> dict[Any, int]:
        """The class of each category id of a file; -1 for a root category."""
        known: dict[Any, dict[str, Any]] = {}
        for each in content["categories"]:
            id, name = (each.get("id"), each.get("name")) if isinstance(each, dict) else (None, None)
            if not _is_key(id) or not isinstance(name, str) or not name:
                draft.fault("unknown-category", path, f"category {shown(each)} has no id or no name")
            elif id in known:
                draft.fault(
                    "unknown-category", path, f"category id {shown(id)} is stated twice: {shown(name)} is unused"
                )
            else:
                known[id] = each
        used = {each.get("category_id") for each in content["annotations"] if _has_key(each, "category_id")}
        root = _root(known, used)
        if root is not None:
            self.roots.add(str(known[root]["name"]))
        order = sorted(known, key=lambda id: (isinstance(id, str), id))
        found: dict[Any, int] = {}
        for id in order:
            name = str(known[id]["name"])
            if id != root and name not in self.names:
                self.names.append(name)
            found[id] = -1 if id == root else self.names.index(name)
        return found


def read(tree: Tree, keeps: bool = False, only: str = "") -> Draft:
    """All images that the files name.

    Args:
        tree: The files.
        keeps: Whether extra keys of images and objects, such as outlines, are kept.
        only: The one file to read, by its path; all of the data set if left out.

    Raises:
        DataError: It cannot be told which files belong to the data set.
    """
    draft = Draft(keeps)
    categories = _Categories()
    read_before: dict[str, int] = {}
    for path, part in _files(tree, only, draft):
        content = _content(tree, path, draft)
        if content is not None:
            _add(draft, tree, content, path, part, categories.of(content, path, draft), read_before)
    draft.classes = categories.names
    if roots := categories.roots - {*categories.names}:
        draft.notes.append(f"category {', '.join(sorted(roots))!r} is the root of all others, and no class")
    unnamed = [image for image in tree.images() if image not in read_before] if not only else []
    for image in unnamed:
        draft.fault("image-unannotated", image, "no file of annotations names it")
    return draft


def annotation_files(tree: Tree) -> list[str]:
    """The files that are COCO's by their names; else any JSON at most two folders deep."""
    files = tree.ending("json")
    named = [path for path in files if posixpath.basename(path) == _ROBOFLOW]
    named = named or [path for path in files if posixpath.basename(path).startswith("instances_")]
    return named or [path for path in files if path.count("/") < 3]


def looks_like(tree: Tree, path: str, draft: Draft) -> bool:
    """Whether a file begins as COCO's do, or has one of its names; a fault, too, where it cannot be read."""
    if posixpath.basename(path) == _ROBOFLOW or posixpath.basename(path).startswith("instances_"):
        return True
    try:
        head = tree.head(path)
    except DataError as error:
        draft.fault("annotation-unreadable", path, str(error))
        return False
    return head.lstrip().startswith(b"{") and any(f'"{key}"'.encode() in head for key in (*_LISTS, "licenses"))


def _files(tree: Tree, only: str, draft: Draft) -> list[tuple[str, str]]:
    """The files to read and the split of each, those of training first."""
    if only:
        return [(only, "")]
    files = [path for path in annotation_files(tree) if looks_like(tree, path, draft)]
    if len(files) == 1:
        return [(files[0], "")]
    part_by = {path: part_of(posixpath.basename(stem_of(path))) or part_in(path) for path in files}
    ordered = sorted(part_by.items(), key=lambda item: (("train", "val", "test", "").index(item[1]), item[0]))
    parts = [part for _, part in ordered]
    if len(set(parts)) < len(parts) or "" in parts:
        raise DataError(
            f"{tree.root}: which of these files is it? {', '.join(path for path, _ in ordered[:6])}; allowed: one file "
            f"a split, named or lying in a folder named train, val or test; fix: coco:{tree.root}/{ordered[0][0]}"
        )
    return ordered


def _content(tree: Tree, path: str, draft: Draft) -> Content | None:
    """The lists of a file; None, with a fault, where it has none."""
    try:
        content = json.loads(tree.text(path))
    except (ValueError, RecursionError, DataError) as error:
        what = str(error) if isinstance(error, DataError) else f"no sound JSON: {str(error)[:200]}"
        draft.fault("annotation-unreadable", path, what)
        return None
    if not isinstance(content, dict):
        draft.fault("annotation-unreadable", path, f"it holds {shown(content)}, not lists called {', '.join(_LISTS)}")
        return None
    for key in _LISTS:
        if not isinstance(content.get(key), list):
            draft.fault("annotation-unreadable", path, f"there is no list {key!r} in it")
            return None
    return {key: content[key] for key in _LISTS}


def _add(
    draft: Draft,
    tree: Tree,
    content: Content,
    path: str,
    part: str,
    class_of: dict[Any, int],
    read_before: dict[str, int],
) -> None:
    """Adds the images and objects of a file."""
    images = [each for each in content["images"] if _has_key(each, "id") and isinstance(each.get("file_name"), str)]
    if len(images) < len(content["images"]):
        lost = len(content["images"]) - len(images)
        draft.fault("image-missing", path, f"{lost:,} entries of `images` have no id or no file_name")
    base, bare = _base(tree, path, part, [each["file_name"] for each in images[:: max(1, len(images) // _TRIED)]])
    place: dict[Any, int] = {}
    for each in images:
        written = each["file_name"].replace("\\", "/")
        name = inside(base, posixpath.basename(written) if bare else written)
        if each["id"] in place:
            draft.fault(
                "unknown-image", path, f"image id {shown(each['id'])} is stated twice: {shown(written)} is unused"
            )
            continue
        if name not in tree.files:
            draft.fault("image-missing", path, f"{shown(written)} is not below {base or '.'}/")
            place[each["id"]] = -1
        elif name in read_before:
            place[each["id"]] = at = read_before[name]
            if draft.parts[at] != part:
                draft.fault("image-in-two-splits", name, f"{part} names it, and {draft.parts[at]}, where it stays")
                place[each["id"]] = -1
        else:
            size = whole(each.get("width")) or 0, whole(each.get("height")) or 0
            extra = {key: value for key, value in each.items() if key not in _IMAGE_KEYS} if draft.keeps else {}
            place[each["id"]] = read_before[name] = draft.add_image(name, part, size, extra)
    for each in content["annotations"]:
        _add_object(draft, each, path, place, class_of)


def _add_object(draft: Draft, each: Any, path: str, place: dict[Any, int], class_of: dict[Any, int]) -> None:
    try:
        image = place[each["image_id"]]
    except (TypeError, KeyError):
        what = each.get("image_id") if isinstance(each, dict) else each
        draft.fault("unknown-image", path, f"an annotation names image {shown(what)}, which `images` has not")
        return
    if image < 0:
        return
    name = draft.names[image]
    try:
        label = class_of[each["category_id"]]
    except (TypeError, KeyError):
        label = -1
    if label < 0:
        draft.fault("unknown-category", name, f"category id {shown(each.get('category_id'))} is no class of {path}")
        return
    box = each["bbox"] if "bbox" in each else _around(each.get("segmentation"))
    values = [number(value) for value in box] if isinstance(box, list) and len(box) == 4 else []
    if len(values) < 4 or any(value is None or abs(value) > 1e9 for value in values):
        draft.fault("box-malformed", name, f"bbox {shown(box)} in {path} is no four numbers")
        return
    left, top, wide, high = (float(value or 0) for value in values)
    area = number(each.get("area"))
    extra = {key: value for key, value in each.items() if key not in _OBJECT_KEYS} if draft.keeps else {}
    draft.add_object(
        image,
        (left, top, left + wide, top + high),
        label,
        crowd=each.get("iscrowd") in (1, True),
        difficult=each.get("difficult") in (1, True),
        area=area if area is not None and area > 0 else -1.0,
        extra=extra,
    )


def _around(outlines: Any) -> list[float] | None:
    """The smallest box around polygons, as COCO writes boxes; None where there are none."""
    if not isinstance(outlines, list) or not all(isinstance(each, list) and len(each) > 5 for each in outlines):
        return None
    values = [[number(value) for value in each[: len(each) // 2 * 2]] for each in outlines]
    points = [value for each in values for value in each if value is not None]
    if not points or any(None in each for each in values):
        return None
    left, top = min(points[::2]), min(points[1::2])
    return [left, top, max(points[::2]) - left, max(points[1::2]) - top]


def _base(tree: Tree, path: str, part: str, written: Sequence[str]) -> tuple[str, bool]:
    """The folder that file names are below, and whether only the last part of a name counts."""
    own = posixpath.dirname(path)
    paths_of: defaultdict[str, list[str]] = defaultdict(list)
    for image in tree.images():
        paths_of[posixpath.basename(image)].append(image)
    names = [posixpath.normpath(name.replace("\\", "/")) for name in written]
    for bare in (False, True):
        hits: Counter[str] = Counter()
        for name in map(posixpath.basename, names) if bare else names:
            hits.update(
                image[: -len(name)].rstrip("/")
                for image in paths_of[posixpath.basename(name)]
                if f"/{image}".endswith(f"/{name}")
            )
            hits[own] += name.startswith("..") and inside(own, name) in tree.files
        most = max(hits.values(), default=0)
        if most:
            best = (folder for folder in hits if hits[folder] == most)
            return min(best, key=lambda base: (base != own, part_in(f"{base}/") != part, base.count("/"), base)), bare
    return own, False


def _root(known: dict[Any, dict[str, Any]], used: set[Any]) -> Any:
    """The id of the category that stands for all others rather than for a class; None without one.

    It has no box, and its name is the supercategory of every other one, but not its own.
    """
    for id, each in known.items():
        others = [other.get("supercategory") for key, other in known.items() if key != id]
        if id not in used and others and all(above == each["name"] for above in others):
            return id if each.get("supercategory") != each["name"] else None
    return None


def _is_key(value: object) -> bool:
    return isinstance(value, _KEY) and not isinstance(value, bool) and value == value


def _has_key(each: Any, key: str) -> bool:
    return isinstance(each, dict) and _is_key(each.get(key))


def around_file(name: str, path: str) -> tuple[Tree, str]:
    """The files around one file of annotations, and its path among them.

    Images may lie beside it; of a file in a folder `annotations`, beside that folder.

    Args:
        name: What to call the source in messages.
        path: The file.
    """
    folder, file = posixpath.split(os.path.abspath(path))
    parent, last = posixpath.split(folder)
    if last.lower() in ("annotations", "annotation", "labels"):
        return Tree(name, parent), f"{last}/{file}"
    return Tree(name, folder), file
