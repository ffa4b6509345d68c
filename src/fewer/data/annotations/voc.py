"""Pascal VOC: an XML file an image, as labelImg, CVAT and Roboflow write them.

Boxes are 1-based and inclusive, as in VOC itself: pixel (1, 1) is the top left one, and the box of it alone would be
1, 1, 1, 1. Their edges are xmin - 1, ymin - 1, xmax and ymax. Some tools count from 0; the difference is one pixel at
the left and top edge, and what it leaves outside the picture is cut off. A box whose corners are one point, or whose
sides have no length by that count (xmax <= xmin), is a click rather than a box of one pixel, and has no area.

An XML file belongs to the image of its own name: beside it, or in the folder beside `Annotations`, or the only one of
that name. Else `<filename>` counts. Splits are the lists `ImageSets/Main/train.txt`, `val.txt`, `test.txt` (`trainval`
where `train` is missing), or folders that are called so. Images without an XML file are not known to be empty, and are
left out; an XML file without an object is an image of background.
"""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from fewer.core.errors import DataError
from fewer.data.annotations.draft import Draft, number, shown, whole
from fewer.data.annotations.tree import Tree, by_stem, inside, parts_of, stem_of

_OBJECT_KEYS = ("pose", "truncated", "occluded")
_IMAGES = ("JPEGImages", "images", "Images", "imgs", "")
_SPLITS = ("train", "val", "test")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(tree: Tree, keeps: bool = False) -> Draft:
    """All images that have an XML file.

    Args:
        tree: The files.
        keeps: Whether pose, truncation and occlusion are kept.
    """
    draft = Draft(keeps)
    images = by_stem(tree.images())
    found: dict[str, tuple[str, ET.Element]] = {}
    for path in tree.ending("xml"):
        root = _parsed(tree, path, draft)
        if root is None:
            continue
        image = _image(path, root, images, tree)
        if not image:
            code = "image-ambiguous" if len(images.get(stem_of(posixpath.basename(path)), ())) > 1 else "image-missing"
            draft.fault(code, path, f"no image for it, named {shown((root.findtext('filename') or '').strip())}")
        elif image in found:
            draft.fault("image-ambiguous", path, f"{image} is annotated by {found[image][0]} already")
        else:
            found[image] = path, root
    names = {_class(each) for _, root in found.values() for each in root.iter("object")} - {""}
    draft.classes = sorted(names)
    class_of = {name: i for i, name in enumerate(draft.classes)}
    parts = _parts(tree, list(found), draft)
    for image, (path, root) in found.items():
        size = tuple(whole(root.findtext(f"size/{side}")) or 0 for side in ("width", "height"))
        at = draft.add_image(image, parts.get(image, ""), (size[0], size[1]))
        for each in root.findall("object"):
            _add(draft, at, each, class_of, path)
    for image in sorted({path for paths in images.values() for path in paths} - found.keys()):
        draft.fault("image-unannotated", image, "no XML file for it")
    return draft


def _parsed(tree: Tree, path: str, draft: Draft) -> ET.Element | None:
    """The root of an annotation; None, with a fault, for a file that cannot be read, and for XML of other kinds."""
    try:
        text = tree.text(path)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            draft.fault("annotation-unreadable", path, "it declares a document type or entities, which are not read")
            return None
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError, RecursionError) as error:
        draft.fault("annotation-unreadable", path, f"no sound XML: {error}")
        return None
    except DataError as error:
        draft.fault("annotation-unreadable", path, str(error))
        return None
    return root if root.tag == "annotation" else None


def _image(path: str, root: ET.Element, images: dict[str, list[str]], tree: Tree) -> str:
    """The image that an XML file annotates; "" for none, or where several may be meant."""
    folder, file = posixpath.split(path)
    stem = stem_of(file)
    parent, _, last = folder.rpartition("/")
    near = [folder] if last.lower() not in ("annotations", "annotation", "labels") else []
    if not near:
        near = [posixpath.join(parent, each) for each in _IMAGES] + [folder]
    elif "annotations" in folder.lower().split("/"):
        parts = folder.split("/")
        at = [part.lower() for part in parts].index("annotations")
        near += ["/".join([*parts[:at], *([each] if each else []), *parts[at + 1 :]]) for each in _IMAGES]
    same = images.get(stem, [])
    for base in near:
        if match := next((image for image in same if stem_of(image) == inside(base, stem)), ""):
            return match
    named = posixpath.basename((root.findtext("filename") or "").strip().replace("\\", "/"))
    if len(same) == 1:
        return same[0]
    if named and (match := tree.found(named, *near)):
        return match
    others = [image for image in images.get(stem_of(named), []) if posixpath.basename(image) == named] if named else []
    return others[0] if len(others) == 1 and not same else ""


def _class(element: ET.Element) -> str:
    return (element.findtext("name") or "").strip()


def _add(draft: Draft, image: int, element: ET.Element, class_of: dict[str, int], path: str) -> None:
    name = _class(element)
    box = element.find("bndbox")
    texts = [None if box is None else box.findtext(corner) for corner in CORNERS]
    values = [number(text.strip()) if text else None for text in texts]
    left, top, right, bottom = values
    if left is None or top is None or right is None or bottom is None:
        draft.fault("box-malformed", path, f"corners {shown(texts)} are no four numbers")
        return
    if not name:
        draft.fault("unknown-category", path, f"an object at {shown(texts)} has no name")
        return
    # A side of no length stays one: only corners apart are inclusive.
    edges = (left - (right != left), top - (bottom != top), right, bottom)
    if right < left or bottom < top:
        edges = (left, top, right, bottom)
    extra = {key: text.strip() for key in _OBJECT_KEYS if (text := element.findtext(key))} if draft.keeps else {}
    difficult = (element.findtext("difficult") or "").strip() in ("1", "true", "True")
    draft.add_object(image, edges, class_of[name], difficult=difficult, extra=extra)


def _parts(tree: Tree, images: Sequence[str], draft: Draft) -> dict[str, str]:
    """The split of each image that has one."""
    lists = {stem_of(posixpath.basename(path)): path for path in tree.ending("txt") if _is_list(path)}
    if "trainval" in lists and "train" not in lists:
        lists["train"] = lists.pop("trainval")
    if "train" not in lists:
        return parts_of(images)
    return listed({part: lists[part] for part in _SPLITS if part in lists}, images, tree, draft)


def _is_list(path: str) -> bool:
    return posixpath.dirname(path).endswith("ImageSets/Main")


def listed(lists: dict[str, str], images: Sequence[str], tree: Tree, draft: Draft) -> dict[str, str]:
    """The split of each image by lists of stems, an image a line; VOC's lists of a class have -1, 0 or 1 behind it.

    Args:
        lists: The list of each split, by its path.
        images: Paths of the images.
        tree: The files.
        draft: Where faults go, and notes of lists without images.

    Returns:
        The split of each image; of none where the list of train is empty, since all images would train then.
    """
    stems = by_stem(images)
    whole_paths = {stem_of(image): image for image in images}
    found: dict[str, str] = {}
    for part, path in lists.items():
        for line in tree.text(path).splitlines():
            name = line.strip()
            if not name:
                continue
            image = _named(name, whole_paths, stems)
            head, _, flag = name.rpartition(" ")
            if not image and head and flag in ("-1", "0", "1"):  # of a class: VOC says beside each image if it shows it
                name = head.strip()
                image = _named(name, whole_paths, stems)
            if not image:
                draft.fault("image-missing", path, f"{shown(name)} names no annotated image")
            elif found.setdefault(image, part) != part:
                draft.fault("image-in-two-splits", image, f"{part} names it, and {found[image]}, where it stays")
    used = {*found.values()}
    if "train" not in used:
        draft.notes.append(f"{lists['train']} names no image: no list counts, and there are no splits")
        return {}
    draft.notes += [
        f'{path} names no image of its own: data.{part} = "auto" takes another split, or holds out a share'
        for part, path in lists.items()
        if part not in used
    ]
    return found


def _named(name: str, whole_paths: Mapping[str, str], stems: Mapping[str, list[str]]) -> str:
    """The image that a line of a list means: by its path, with or without an ending, else by its name alone."""
    image = next((whole_paths[each] for each in (name, stem_of(name)) if each in whole_paths), "")
    same = stems.get(posixpath.basename(name), []) or stems.get(posixpath.basename(stem_of(name)), [])
    return image or (same[0] if len(same) == 1 else "")
